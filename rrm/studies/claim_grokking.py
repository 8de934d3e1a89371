"""The sweep that claims on grokking are judged by: small networks on one split of modular arithmetic, in arms."""

from typing import Any

from rrm.jobs.spec import Config, Preset, SweepSpec
from rrm.reports.claims.grokking import DECAY, FREE, NO_DECAY, PRICED, SLOW
from rrm.training.grokking import grokking
from rrm.training.recipe import Recipe

# Of a third of the learning rate: steps in units of the preset's.
_SLOW = 4
_RATE = 3e-3
_GATED: dict[str, Any] = {"model": "gated_mlp", "network": {"num_layers": 3}}

# The arm is the settings of its model.
ARMS: dict[str, dict[str, Any]] = {
    DECAY: {"model": "token_mlp"},
    NO_DECAY: {"model": "token_mlp", "weight_decay": 0.0},
    SLOW: {"model": "token_mlp", "lr": _RATE / 3},
    FREE: _GATED,
    PRICED: _GATED | {"price": 0.01},
}
# What the claims read of an arm beside its journal.
PROBES = {DECAY: ["weight_norm", "path", "hessian"], NO_DECAY: ["weight_norm"], SLOW: ["path"]}


def _arms(models: list[str]) -> list[Config]:
    return [{"model": arm["model"], "arm": name} for name, arm in ARMS.items() if arm["model"] in models]


def _recipe(config: Config, task: None, preset: Preset, seed: int) -> Recipe:
    """The training run of an arm.

    Over five seeds, networks have grokked at steps 800 to 975, at a third of the learning rate at 2,725 to 2,950, and
    those with gates at 950 to 1,375. The weight norm turns near step 1,050, and with 60 % of the pairs for training as
    well, where test accuracy rises 300 steps later.
    """
    name = config["arm"]
    hooks = {"probes": {"names": PROBES[name], "every": 25}} if name in PROBES else {}
    return grokking(
        p=31,
        train_share=0.7,
        steps=preset.steps * (_SLOW if name == SLOW else 1),
        evaluations=preset.evaluations,
        seed=seed,
        journal={"every": 25, "stop_after": 200},
        hooks=hooks,
        **{"lr": _RATE} | ARMS[name],
    )


GROKKING_SPEC = SweepSpec(
    name="claims",
    models=("token_mlp", "gated_mlp"),
    fixed=_arms,
    recipe=_recipe,
    matching="Arms are not equal in steps: a run ends 200 steps after 99 % of the test pairs, or with its budget.",
    presets={
        "quick": Preset(trials=0, seeds=1, steps=2500, evaluations=1),
        "full": Preset(trials=0, seeds=5, steps=2500, evaluations=1),
    },
    baseline=None,
    stages=("grokking", "log"),
    score="test_accuracy",
)
