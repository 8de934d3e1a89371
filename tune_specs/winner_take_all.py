"""Does it help to train the best of several rollouts only, and what of it helps? Winner-take-all and its controls.

    python tune_specs/winner_take_all.py                   # TRM mixer on 4 x 4, ten minutes on two CPU cores
    python tune_specs/winner_take_all.py --preset smoke    # some minutes, to see it work

Winner-take-all ("Speed is Confidence", arXiv 2601.19085) runs four rollouts of every puzzle from far starts, trains the
one of lowest loss, has its Q head end the puzzle, and hands its z_H to the others. Each arm leaves one of these out.

Every arm trains on every seed, on the same puzzles, for the same number of network calls: a step costs 33 call units a
puzzle where one of four rollouts learns, 48 where all four do, and 12 with a single one. Evaluations run one rollout
from the model's own start. For models of a paper's size replace cpu_sudoku(...) as in interventions.py.
"""

from rrm.commands.sweep import run_command
from rrm.jobs.spec import Preset, SweepSpec, grid

MODELS = ("trm_mlp",)  # hrm trains too; an SRM has no z_H to share
# A perturbation, and the share of a batch that a step takes: about as many steps for every arm.
ARMS = {
    "baseline": (None, 1),
    "clean copies": ({"kind": "clean_copies", "copies": 3}, 1 / 4),
    "winner takes all": ({"kind": "winner_take_all"}, 3 / 8),
    "all learn": ({"kind": "all_learn"}, 1 / 4),
    "a random one learns": ({"kind": "random_learns"}, 3 / 8),
    "own z_H": ({"kind": "winner_own_H"}, 3 / 8),
    "the first halts": ({"kind": "winner_first_halts"}, 3 / 8),
    "fresh starts": ({"kind": "winner_take_all", "start": "fresh"}, 3 / 8),
}


def fixed(models):
    """Every arm of every model type."""
    return grid(model=models, arm=ARMS)


def recipe(config, task, preset, seed):
    """The training run of one arm."""
    from dataclasses import replace

    from rrm.training.recipes import cpu_sudoku

    perturbation, share = ARMS[config["arm"]]
    made = cpu_sudoku(
        task,
        config["model"],
        batch_size=round(preset.batch_size * share),
        budget=12 * preset.batch_size * preset.steps,
        evaluations=preset.evaluations,
        seed=seed,
    )
    made = replace(made, model=made.model | {"swiglu": "normalised"})
    return replace(made, perturbation=perturbation) if perturbation else made


SPEC = SweepSpec(
    name="winner_take_all",
    models=MODELS,
    fixed=fixed,
    recipe=recipe,
    matching="Arms are equal in network calls: several rollouts of a puzzle leave fewer puzzles a step.",
    presets={
        "default": Preset(
            trials=0, seeds=3, steps=400, evaluations=8,
            task="sudoku-4x4", givens=(5, 9), train=1024, validation=256, test=512,
        ),
        "smoke": Preset(
            trials=0, seeds=2, steps=40, evaluations=2, quick=True,
            task="sudoku-4x4", givens=(6, 8), train=256, validation=64, test=128,
        ),
    },
)  # fmt: skip

if __name__ == "__main__":
    run_command(SPEC, __doc__)
