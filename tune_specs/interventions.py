"""Which intervention helps, at equal compute and over seeds? Published perturbations and flossing against the baseline.

    python tune_specs/interventions.py                                    # mixers on 6 x 6, 70 minutes on two CPU cores
    python tune_specs/interventions.py --preset easy --model hrm          # attention learns 4 x 4 in that time
    python tune_specs/interventions.py --preset smoke                     # some minutes, to see it work

Nothing is searched and nothing is stopped: every arm trains on every seed, on the same puzzles, for the same number of
network calls, and is compared with the baseline of its model type seed by seed.

A sweep is a short Python file: copy one to sweep something else. Arms are compared by name: the "arm" of a
configuration, or what it does to plain training. `baseline` of the SweepSpec names the arm that all others of a model
type are compared with. This file trains models of width 64, for CPUs, on as many puzzles as its preset says; --data
draws that many from its files. For a model of a paper's size copy this file to my_sweep.py, set train=1000 in its
default preset, and replace cpu_sudoku(...):

    from rrm.training.recipes import flossed, trm_sudoku

    made = trm_sudoku(task, config["model"], batch_size=round(768 * SHARES.get(config["arm"], 1)),
                      evaluations=preset.evaluations, seed=seed)

`python tune_specs/my_sweep.py --model trm_mlp --data DIR_OR_CSV` is then 8 arms x 3 seeds, and a baseline trains for
the published 65,104 steps of 768 puzzles: work for GPUs.
"""

from rrm.commands.sweep import run_command
from rrm.jobs.spec import Preset, SweepSpec, grid

MODELS = ("trm_mlp", "srm_mlp")
ARMS = {
    "baseline": {},
    "clean copies": {"perturbation": {"kind": "clean_copies", "copies": 3}},  # the control of multi4: no noise
    "multi4": {"perturbation": {"kind": "multi4"}},
    # Its controls have a sweep of their own, winner_take_all.py.
    "winner takes all": {"perturbation": {"kind": "winner_take_all"}},
    "per-call noise": {"perturbation": {"kind": "every_call", "sigma": 0.01, "clean_branch": False}},
    "eqr": {"perturbation": {"kind": "eqr"}},
    "pre-flossing": {"flossing": "pre"},
    "interleaved flossing": {"flossing": "inter"},
}
# Of a batch: four rollouts leave a quarter of the puzzles a step; where one of them learns, a good third at that price.
SHARES = {"clean copies": 1 / 4, "multi4": 1 / 4, "winner takes all": 3 / 8}
# HRM learns half as fast as the mixers.
STEPS = {"hrm": 2}


def fixed(models):
    """Every arm of every model type."""
    return grid(model=models, arm=ARMS)


def recipe(config, task, preset, seed):
    """The training run of one arm."""
    from dataclasses import replace

    from rrm.training.recipes import cpu_sudoku, flossed

    arm = ARMS[config["arm"]]
    made = cpu_sudoku(
        task,
        config["model"],
        batch_size=round(preset.batch_size * SHARES.get(config["arm"], 1)),
        budget=12 * preset.batch_size * preset.steps * STEPS.get(config["model"], 1),
        evaluations=preset.evaluations,
        seed=seed,
    )
    if "perturbation" in arm:
        # An SRM starts every rollout anew and has no z_H to share.
        sharing = {"share_H": False} if config["arm"] == "winner takes all" and made.model["family"] == "srm" else {}
        made = replace(made, perturbation=arm["perturbation"] | sharing)
    return flossed(made, arm.get("flossing", "none"))


SPEC = SweepSpec(
    name="interventions",
    models=MODELS,
    fixed=fixed,
    recipe=recipe,
    matching="Arms are equal in network calls: several rollouts of a puzzle leave fewer puzzles a step, and flossing "
    "is paid for with training steps.",
    presets={
        "default": Preset(
            trials=0, seeds=3, steps=400, evaluations=8,
            task="sudoku-6x6", givens=(14, 18), train=3000, validation=256, test=512,
        ),
        "easy": Preset(
            trials=0, seeds=3, steps=400, evaluations=8,
            task="sudoku-4x4", givens=(5, 8), train=1024, validation=256, test=512,
        ),
        "smoke": Preset(
            trials=0, seeds=2, steps=60, evaluations=3, quick=True,
            task="sudoku-4x4", givens=(6, 8), train=256, validation=64, test=128,
        ),
    },
)  # fmt: skip

if __name__ == "__main__":
    run_command(SPEC, __doc__)
