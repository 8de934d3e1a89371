"""Does the order of the puzzles matter? Curricula against all puzzles alike, by tiers of difficulty, over seeds.

    python tune_specs/curriculum_sweep.py                      # within ten minutes on two CPU cores
    python tune_specs/curriculum_sweep.py --preset smoke       # some minutes, to see it work
    python tune_specs/curriculum_sweep.py --preset evidence    # 10 paired seeds, an hour on two busy cores
    python tune_specs/curriculum_sweep.py --data DIR_OR_CSV    # other puzzles; they are rated first

Every arm trains on every seed, on the same puzzles, for the same number of network calls: with the full budget, with a
quarter of it, and some arms with a half. Would a half bring them as far as the full budget brings uniform? What an arm
spends beside its steps is paid from that: p(1-p) tries some training puzzles several times after every round, and
"growing depth" has more steps because its first ones are shallow. Four arms are controls. "Random pacing" sees a set
that grows as that of "easy to hard" does, in random order; "uniform again" is uniform with other rounds, and so with
the puzzles in another order; "p(1-p), unpaid" has the steps of uniform, and its attempts for nothing; "always
shallow" has the depth at which "growing depth" begins, and so the most steps, without a growth.

Puzzles are rated by `rrm.tasks.difficulty`; accuracy is that of the weights best on validation, on three tiers of the
test puzzles and on the tenth of them that an arm solves least. What is expected of the arms stands in PREDICTIONS.
"""

from rrm.commands.sweep import run_command
from rrm.jobs.predictions import Prediction, TierReport
from rrm.jobs.spec import Preset, SweepSpec, grid

MODELS = ("trm_mlp",)  # hrm trains too; an SRM grows its depth by itself

ROUNDS = 24  # of the full budget; puzzles keep their weights for a round
# A curriculum, and what else an arm changes; every: length of its rounds.
ARMS = {
    "uniform": {"kind": "uniform"},
    "uniform again": {"kind": "uniform", "every": 4 / 3},
    "random pacing": {"kind": "random_pacing"},
    "easy to hard": {"kind": "easy_to_hard"},
    "hard to easy": {"kind": "hard_to_easy"},
    "mixed tiers": {"kind": "mixed_tiers"},
    "p(1-p)": {"kind": "learnability", "every": 2},
    "p(1-p), unpaid": {"kind": "learnability", "every": 2},
    "learning progress": {"kind": "learning_progress"},
    "replay": {"kind": "replay"},
    "hint mix": {"kind": "hint_mix"},
    "four phases": {"kind": "four_phases"},
    "growing depth": {"kind": "uniform", "growth": {"H": [[30, 1]], "L": [[60, 1]]}},
    "always shallow": {"kind": "uniform", "growth": {}},
}
BUDGETS = {"full": 1.0, "half": 0.5, "quarter": 0.25}
# Arms that might do with half of the calls.
HALF = ("uniform", "easy to hard", "p(1-p)", "replay", "hint mix", "growing depth")
# The attempts after a round, at a puzzle for each TRIED rows of training; they are half as deep as an evaluation.
TRIED = 15
TRIALS = {"rollouts": 4, "segments": 2, "sigma": 0.3}

PREDICTIONS = (
    Prediction(
        "easy first beats random pacing with a quarter of the budget",
        "easy to hard", "random pacing", "peak", "more", 0.01, at="quarter",
    ),
    Prediction(
        "easy first does nothing for random pacing with the full budget",
        "easy to hard", "random pacing", "peak", "same", 0.02, at="full",
    ),
    Prediction(
        "hard first loses to random pacing with a quarter of the budget",
        "hard to easy", "random pacing", "peak", "less", 0.01, at="quarter",
    ),
    Prediction(
        "a growing set in random order does nothing for the full budget",
        "random pacing", "uniform", "peak", "same", 0.02, at="full",
    ),
    Prediction(
        "p(1-p) is no better than uniform where all puzzles have labels",
        "p(1-p)", "uniform", "peak", "less", 0.01, at="full",
    ),
    Prediction(
        "p(1-p) does not help on the hard tier either",
        "p(1-p)", "uniform", "hard", "less", 0.01, at="full",
    ),
    Prediction(
        "p(1-p) is no better than uniform even where its attempts cost nothing",
        "p(1-p), unpaid", "uniform", "peak", "same", 0.02, at="full",
    ),
    Prediction(
        "diversity beats order: mixed tiers against easy first",
        "mixed tiers", "easy to hard", "hard", "more", 0.02, at="full",
    ),
    Prediction(
        "mixed tiers help on the hard tier, for they show more of it",
        "mixed tiers", "uniform", "hard", "more", 0.02, at="full",
    ),
    Prediction(
        "failures that come again help on the worst tenth",
        "replay", "uniform", "worst tenth", "more", 0.02, at="full",
    ),
    Prediction(
        "hints speed up the beginning",
        "hint mix", "uniform", "peak", "more", 0.02, at="quarter",
    ),
    Prediction(
        "four phases do no more than uniform",
        "four phases", "uniform", "peak", "same", 0.02, at="full",
    ),
    Prediction(
        "a depth that grows is worth its saved calls with a quarter of the budget",
        "growing depth", "uniform", "peak", "more", 0.02, at="quarter",
    ),
    Prediction(
        "two uniform arms differ by noise alone",
        "uniform again", "uniform", "peak", "same", 0.02, at="full",
    ),
    *(
        Prediction(
            f"{arm} with half of the calls does not reach uniform on the hard tier",
            arm, "uniform", "hard", "less", 0.02, at="half", other_at="full",
        )
        for arm in HALF
    ),
)  # fmt: skip


def fixed(models):
    """Every arm of every model type at both budgets, and some at half of the full one."""
    return grid(model=models, arm=ARMS, budget=("full", "quarter")) + grid(model=models, arm=HALF, budget=("half",))


def recipe(config, task, preset, seed):
    """The training run of one arm."""
    import math
    from dataclasses import replace

    import torch

    from rrm.models import build
    from rrm.training.recipes import small_cpu

    arm = dict(ARMS[config["arm"]])
    growth, every = arm.pop("growth", None), math.ceil(arm.pop("every", 1) * max(1, preset.steps // ROUNDS))
    trials = {"every": every, "puzzles": max(1, every * preset.batch_size // TRIED), **TRIALS}
    made = small_cpu(
        task,
        config["model"],
        steps=preset.steps * BUDGETS[config["budget"]],
        batch_size=preset.batch_size,
        warmup_steps=20,
        evaluations=preset.evaluations,
        source={"kind": "curriculum", "curriculum": arm, "every": every},
        hooks={"trials": trials} if arm["kind"] == "learnability" else {},
        seed=seed,
    )
    if config["arm"] == "p(1-p), unpaid":
        with torch.device("meta"):
            model = build(made.model)
        steps = replace(made, source={"kind": "uniform"}, hooks={}).steps(model)
        made = replace(made, budget=made.budget + made.hook_units(model, steps))
    if growth is not None:
        grown = {"kind": "growing_depth", "growth": growth, "halt_max_steps": 4}
        shallow = {"H_cycles": made.model["H_cycles"] - 1, "L_cycles": made.model["L_cycles"] - 1}
        made = replace(made, model=made.model | shallow, objective=grown)
    return made


def arm(config, recipe):
    """The name of an arm with its budget."""
    return f"{config['arm']}, {config['budget']} budget"


def data(config, preset):
    """The puzzles of the preset, rated."""
    from dataclasses import replace

    return replace(preset.data, rated=True)


SPEC = SweepSpec(
    name="curriculum_sweep",
    models=MODELS,
    fixed=fixed,
    recipe=recipe,
    arm=arm,
    baseline="uniform, full budget",
    data=data,
    stages=("score", "tiers", "log"),
    tiers=TierReport("uniform", "budget", PREDICTIONS),
    matching="Arms of one budget are equal in network calls, but for p(1-p), unpaid: attempts of p(1-p) are paid for "
    "with training steps, and shallow steps leave calls for more of them.",
    presets={
        "default": Preset(
            trials=0, seeds=3, steps=480, evaluations=4, batch_size=12,
            task="sudoku-6x6", givens=(14, 32), train=2048, validation=128, test=512,
        ),
        "evidence": Preset(
            trials=0, seeds=10, steps=480, evaluations=4, batch_size=12,
            task="sudoku-6x6", givens=(14, 32), train=2048, validation=128, test=1024,
        ),
        "smoke": Preset(
            trials=0, seeds=2, steps=240, evaluations=4, batch_size=8, quick=True,
            task="sudoku-4x4", givens=(6, 11), train=256, validation=32, test=64,
        ),
    },
)  # fmt: skip

if __name__ == "__main__":
    run_command(SPEC, __doc__)
