"""Does any kind of gradient flossing help a recursive reasoner? When, on which exponents, towards what.

    python tune_specs/flossing_sweep.py                  # half an hour on two CPU cores
    python tune_specs/flossing_sweep.py --preset smoke   # two minutes, to see the pipeline work

Axes: model type x schedule x penalty (two-sided as published, or one-sided, which leaves alone what contracts) with its
target and number of exponents x window (early or late in the rollout, on all puzzles or failed ones) x learning rate.
An episode takes an eighth of the budget, whatever it does. The best drawn configuration and its baseline are then
trained on fresh seeds.
"""

from rrm.commands.sweep import run_command
from rrm.jobs.spec import Preset, SweepSpec

MODELS = ("trm_mlp", "srm_mlp")
SCHEDULES = ("pre", "inter", "pre_inter")
PENALTIES = ("two_sided", "leading", "spectrum", "volume")
TARGETS = (-0.1, 0.0)  # nats per call; settling needs contraction
K = (2, 4)
LR = (1e-4, 3e-3)  # log-uniform


def fixed(models):
    """The baselines, which every other configuration is compared with."""
    return [{"model": model, "schedule": "none"} for model in models]


def space(trial, models, sigmas):
    """The flossed configurations, define-by-run: only what a choice leaves open is asked."""
    config = {
        "model": trial.suggest_categorical("model", models),
        "schedule": trial.suggest_categorical("schedule", SCHEDULES),
        "penalty": trial.suggest_categorical("penalty", PENALTIES),
        "target": trial.suggest_categorical("target", TARGETS),
        "late": trial.suggest_categorical("late", (False, True)),
        "lr": trial.suggest_float("lr", *LR, log=True),
    }
    # The leading exponent is one tangent's. Before training every puzzle fails.
    config["k"] = 1 if config["penalty"] == "leading" else trial.suggest_categorical("k", K)
    failed = config["schedule"] == "inter" and trial.suggest_categorical("failed_only", (False, True))
    return config | {"failed_only": failed}


def recipe(config, task, preset, seed):
    """The training run of one configuration."""
    from rrm.training.recipes import cpu_sudoku, flossed

    made = cpu_sudoku(
        task,
        config["model"],
        batch_size=preset.batch_size,
        budget=12 * preset.batch_size * preset.steps,
        evaluations=preset.evaluations,
        seed=seed,
    )
    if config["schedule"] == "none":
        return made
    changes = {name: config[name] for name in ("penalty", "target", "k", "late", "lr")}
    changes |= {"examples": "failed", "weighted": True} if config["failed_only"] else {}
    return flossed(made, config["schedule"], **changes)


SPEC = SweepSpec(
    name="flossing_sweep",
    models=MODELS,
    fixed=fixed,
    space=space,
    recipe=recipe,
    matching="Arms are equal in network calls: flossing, with its tangents, is paid for with training steps.",
    presets={
        "default": Preset(
            trials=24, seeds=3, steps=400, evaluations=6,
            task="sudoku-6x6", givens=(14, 18), train=3000, validation=256, test=512,
        ),
        "smoke": Preset(
            trials=6, seeds=2, steps=160, evaluations=4, quick=True,
            task="sudoku-4x4", givens=(6, 8), train=256, validation=64, test=128,
        ),
    },
)  # fmt: skip

if __name__ == "__main__":
    run_command(SPEC, __doc__)
