"""Complete recipes as Python functions. A sweep or a script starts from one and changes what it studies.

`trm_sudoku` to `eqr_maze` have the sizes, settings and numbers of steps of the papers; `cpu_sudoku` fits a laptop, and
`small_cpu` sweeps of hundreds of trainings.
`changes` replace fields of the recipe, or settings of its objective and optimizer (`rrm.training.recipe.from_flat`).
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from rrm.models import build, variant
from rrm.tasks import Task
from rrm.training.flosser import FlossingSettings
from rrm.training.flossing import flossing
from rrm.training.recipe import Recipe, from_flat


def cpu_sudoku(task: Task, model: str = "trm_mlp", **changes: Any) -> Recipe:
    """A recursive reasoner that a CPU trains in about a minute: one layer of width 64, 6 calls a segment, 8 segments.

    Attention and the delta rule read rows and columns by 2-D rotary positions, without which they learn little at this
    size. Attention has half the learning rate of the others, the delta rule twice its heads. The mixers keep the
    published SwiGLU: the normalised one saves them a sixth of the steps, but a map with other fixed points is another
    model. On 4 x 4 Sudoku with 5 to 9 givens half of the unseen puzzles are solved after about 130 steps (TRM with
    mixer), 200 (SRM, whose depth grows from 2 to 8 cycles), 260 (TRM with the delta rule), 300 (HRM) and 330 (TRM with
    attention), each in steps of TRM; on 6 x 6 with 14 to 18 givens the mixers solve about three quarters after 500.
    """
    heads = 8 if model.endswith("_gdn") else 4
    shape = {"vocab_size": task.vocab_size, "seq_len": task.seq_len, "hidden_size": 64, "num_heads": heads}
    positions: dict[str, Any] = {} if model.endswith("_mlp") else {"pos_encodings": "rope_2d", "rope_theta": 10.0}
    settings: dict[str, Any] = {
        "model": variant(model, **shape, H_cycles=2, L_cycles=2, L_layers=1) | positions,
        "budget": 12 * 32 * 500,  # call units per row and step x rows x steps, of TRM
        "batch_size": 32,
        "lr": 2e-3 if positions and not model.endswith("_gdn") else 4e-3,
        "weight_decay": 0.1,
        "warmup_steps": 50,
        "ema_decay": 0.99,
        "halt_max_steps": 8,
        "evaluations": 8,
    }
    if settings["model"]["family"] == "srm":
        settings["growth"] = {"H": [[50.0, 2], [75.0, 4]]}
    return Recipe(**from_flat(settings | changes))


def small_cpu(task: Task, model: str, *, steps: float, batch_size: int, **changes: Any) -> Recipe:
    """`cpu_sudoku` for sweeps of many trainings: half its width, half its segments, and the normalised SwiGLU.

    The budget is that of `steps` steps of TRM.
    """
    budget = 12 * batch_size * steps
    made = cpu_sudoku(task, model, batch_size=batch_size, budget=budget, **{"halt_max_steps": 4} | changes)
    return replace(made, model=made.model | {"swiglu": "normalised", "hidden_size": 32})


def dreaming(recipe: Recipe, loop: Mapping[str, Any], share: float) -> Recipe:
    """The recipe with a dream loop that tries as many puzzles a round as `share` of its calls pay for.

    The calls of the steps before the loop's `start` are not counted among these. `loop`: settings of the hook "dream",
    of which `puzzles` is found here, one at the least.
    """
    with torch.device("meta"):
        model = build(recipe.model)
    others, steps = dict(recipe.hooks), recipe.steps(model)

    def having(puzzles: int) -> Recipe:
        return replace(recipe, hooks=others | {"dream": {**loop, "puzzles": puzzles}})

    one, two = (having(puzzles).hook_units(model, steps) for puzzles in (1, 2))
    calls = share * (recipe.budget - loop.get("start", 0) * recipe.units_per_step(model))
    return having(max(1, 1 + int((calls - one) / (two - one))))


def flossed(recipe: Recipe, schedule: str, **changes: Any) -> Recipe:
    """The recipe with the flossing preset `schedule`, scaled to it, and with `changes` of its settings.

    An episode takes an eighth of the budget, and interleaved ones come after each quarter of the steps that there would
    be without flossing. The presets themselves count steps for trainings of thousands.
    """
    others = {name: settings for name, settings in recipe.hooks.items() if name != "flossing"}
    recipe = replace(recipe, hooks=others)
    preset = flossing(schedule)
    if preset is None:
        return recipe
    with torch.device("meta"):
        model = build(recipe.model)
    steps = recipe.steps(model)
    settings = {"preset": schedule, **changes}
    if preset.every:
        settings["every"] = max(1, steps // 4)
    single = FlossingSettings.read("hook 'flossing'", settings | {"steps": 1})
    price = single.units(model, recipe.model, recipe.objective_settings, steps)
    episode = price / len(single.schedule.episodes_at(steps))
    return replace(recipe, hooks=others | {"flossing": settings | {"steps": max(1, int(recipe.budget / 8 / episode))}})


def trm_sudoku(task: Task, model: str = "trm_mlp", **changes: Any) -> Recipe:
    """TRM on Sudoku-Extreme, 1,000 puzzles augmented (arXiv 2510.04871): mixer 87.4 %, attention 74.7 %.

    The augmentation is drawn afresh each time a puzzle comes, here and in the other recipes; the public code draws
    1,000 variants of each puzzle once and trains on these.
    """
    description = _paper_model(task, model, prefix=16, H_cycles=3, L_cycles=6, L_layers=2)
    return _paper(description, 65_104, {}, changes)


def trm_maze(task: Task, **changes: Any) -> Recipe:
    """TRM on Maze-Hard (arXiv 2510.04871): 85.3 %."""
    description = _paper_model(task, "trm_att", prefix=16, H_cycles=3, L_cycles=4, L_layers=2)
    return _paper(description, 65_104, {}, changes)


def hrm_sudoku(task: Task, **changes: Any) -> Recipe:
    """HRM on Sudoku-Extreme, 1,000 puzzles augmented (arXiv 2506.21734): 55.0 %. No weight averaging."""
    description = _paper_model(task, "hrm", H_cycles=2, L_cycles=2, H_layers=4, L_layers=4)
    return _paper(description, 26_041, {"ema_decay": 0.0}, changes)


def hrm_maze(task: Task, **changes: Any) -> Recipe:
    """HRM on Maze-Hard (arXiv 2506.21734): 74.5 %."""
    return hrm_sudoku(task, **changes)


def srm_sudoku(task: Task, **changes: Any) -> Recipe:
    """SRM on all of Sudoku-Extreme (arXiv 2603.15641): 97.5 % with long rollouts. Depth grows from 2 x 2 to 8 x 12."""
    growth = {
        "H": [[at, 1] for at in (20.1, 40.1, 55.1, 65.1, 75.1, 85.1)],
        "L": [[at, 1] for at in (30.1, 50.1, 70.1, 80.1, 84.1, 86.1, 88.1, 90.1, 92.1, 94.1)],
    }
    description = _paper_model(task, "srm_mlp", prefix=16, H_cycles=2, L_cycles=2, L_layers=1)
    settings = {"batch_size": 512, "weight_decay": 0.1, "growth": growth, "prob_detach_prev_H": 0.99}
    return _paper(description, 14_968, _SRM | settings, changes)


def srm_maze(task: Task, **changes: Any) -> Recipe:
    """SRM on Maze-Hard, not augmented (arXiv 2603.15641): about 80 %. Depth grows from 2 x 2 to 9 x 5."""
    growth = {
        "H": [[at, 1] for at in (20.1, 40.1, 55.1, 65.1, 75.1, 85.1, 95.1)],
        "L": [[at, 1] for at in (30.1, 50.1, 70.1)],
    }
    description = _paper_model(task, "srm_att", prefix=16, H_cycles=2, L_cycles=2, L_layers=2)
    # The published probability is 90, which as a probability means never to keep the transition.
    settings = {"batch_size": 128, "growth": growth, "prob_detach_prev_H": 1.0, "transition_warmup_steps": 200}
    return _paper(description, 3_906, _SRM | settings, changes)


def eqr_sudoku(task: Task, **changes: Any) -> Recipe:
    """EqR on Sudoku-Extreme (arXiv 2605.21488): random start, noise at every call, damping; 99.8 %."""
    description = _paper_model(task, "trm_mlp", H_cycles=3, L_cycles=6, L_layers=2)
    return _paper(description, 50_000, _EQR, changes)


def eqr_maze(task: Task, **changes: Any) -> Recipe:
    """EqR on Maze-Unique (arXiv 2605.21488): 93 %."""
    description = _paper_model(task, "trm_att", H_cycles=3, L_cycles=4, L_layers=1) | {"hidden_size": 128}
    return _paper(description, 100_000, _EQR, changes)


_EQR = {"perturbation": {"kind": "eqr"}}
_SRM = {"lr": 1e-3, "betas": (0.8, 0.9), "lr_min_ratio": 0.02, "clip_norm": 1.0}


def _paper_model(task: Task, model: str, prefix: int | None = None, **cycles: int) -> dict[str, Any]:
    """A model type at width 512, with a puzzle vector where the paper has one: in a prefix, or in HRM one position."""
    shape = {"vocab_size": task.vocab_size, "seq_len": task.seq_len, "hidden_size": 512, "num_heads": 8}
    if prefix:
        shape |= {"puzzle_emb_len": prefix, "puzzle_emb_ndim": 512}
    if model == "hrm":
        shape |= {"puzzle_emb_ndim": 512}
    return variant(model, **shape, **cycles, forward_dtype="bfloat16")


def _paper(description: dict[str, Any], steps: int, settings: dict[str, Any], changes: dict[str, Any]) -> Recipe:
    """The recipe whose budget pays for the published number of unperturbed steps."""
    made = {"model": description, "budget": 1.0, **settings}
    with torch.device("meta"):
        model = build(description)
    budget = Recipe(**from_flat(made)).units_per_step(model) * (steps + 0.5)
    return Recipe(**from_flat(made | {"budget": budget} | changes))
