"""Does training from perturbed latent states help, and are failed rollouts less stable than solved ones?

    python tune_specs/perturb_sweep.py                  # about six minutes on two CPU cores
    python tune_specs/perturb_sweep.py --preset smoke   # a minute or two, also with --data, to see the pipeline work

Three axes: model type x perturbation (magnitude sigma, when there is noise, on which half of the state) x flossing
schedule. Every model type gets one baseline with neither, which is never stopped early, at a budget with which it
solves more than half of the puzzles and not all. The other trials are drawn by TPE, as many of each model type, and
ASHA stops the weaker half of a type. The best drawn configuration of every type that learns, and its baseline, are then
trained on fresh seeds, because the run by which the search chose it was partly lucky. Each sentence about arms begins
with the verdict after Holm's correction, gives the difference of every seed, and says about how large an effect so many
seeds would have shown.
"""

from rrm.commands.sweep import run_command
from rrm.halves import CHOICES
from rrm.jobs.spec import Preset, SweepSpec

MODELS = ("trm_mlp", "trm_att", "hrm", "srm_mlp")
SIGMA = (1e-4, 1.0)  # log-uniform
KINDS = ("initial_state", "every_segment", "every_call")
LOCATIONS = tuple(CHOICES)
FLOSSING = ("none", "pre", "inter", "pre_inter")
COPIES = 1  # perturbed rollouts beside the clean one
# Training of each model type, in steps of the preset. Comparisons are within a type.
BUDGETS = {"trm_mlp": 1.0, "trm_att": 2.4, "hrm": 2.5, "srm_mlp": 1.6}


def fixed(models):
    """The baselines, which every other configuration is compared with."""
    neither = {"sigma": 0.0, "kind": "initial_state", "location": "both", "flossing": "none"}
    return [{"model": model, **neither} for model in models]


def space(trial, models, sigmas):
    """The other configurations, define-by-run.

    The location is asked for where the noise keeps coming. Once, at the start, it is on both halves as published: they
    enter the first call as one sum.
    """
    model = trial.suggest_categorical("model", models)
    sigma = trial.suggest_categorical("sigma", sigmas) if sigmas else trial.suggest_float("sigma", *SIGMA, log=True)
    kind = trial.suggest_categorical("kind", KINDS)
    location = "both" if kind == "initial_state" else trial.suggest_categorical("location", LOCATIONS)
    flossing = trial.suggest_categorical("flossing", FLOSSING)
    return {"model": model, "sigma": sigma, "kind": kind, "location": location, "flossing": flossing}


def recipe(config, task, preset, seed):
    """The training run of one configuration."""
    from rrm.training.recipes import cpu_sudoku, flossed

    perturbation = {"copies": COPIES} | {name: config[name] for name in ("kind", "sigma", "location")}
    # See `matching` below.
    trajectories = 1 + COPIES if config["sigma"] > 0 else 1
    made = cpu_sudoku(
        task,
        config["model"],
        batch_size=preset.batch_size // trajectories,
        budget=12 * preset.batch_size * preset.steps * BUDGETS.get(config["model"], 2.0),
        evaluations=preset.evaluations,
        perturbation=perturbation,
        seed=seed,
    )
    return flossed(made, config["flossing"])


SPEC = SweepSpec(
    name="perturb_sweep",
    models=MODELS,
    fixed=fixed,
    space=space,
    recipe=recipe,
    matching="Arms are equal in network calls: a perturbed arm trains on half as many puzzles a step, twice each, and "
    "flossing is paid for with training steps.",
    presets={
        "default": Preset(
            trials=28, seeds=5, steps=145, evaluations=6,
            task="sudoku-4x4", givens=(5, 9), train=1024, validation=256, test=512,
        ),
        "smoke": Preset(
            trials=8, seeds=2, steps=90, evaluations=4, quick=True,
            task="sudoku-4x4", givens=(8, 10), train=512, validation=64, test=128,
        ),
    },
    takes_sigma=True,
)  # fmt: skip

if __name__ == "__main__":
    run_command(SPEC, __doc__)
