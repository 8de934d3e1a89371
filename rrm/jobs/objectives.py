"""The objectives of a search; a new one is one line. Light to import."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from rrm.training.trainer import Trainer


class SearchObjective(NamedTuple):
    """A number of a trial that a search maximises or minimises.

    Attributes:
        metric: its name among the metrics that a trial reports.
        mode: whether more of it is better.
        meaning: a caution for comparisons of two trials by it.
        measure: computes it at the end of a training, if training itself does not report it.
    """

    metric: str
    mode: Literal["max", "min"]
    meaning: str
    measure: Callable[[Trainer], float] | None = None


# Validation puzzles on which the stability of a trial's successes is measured.
STABILITY_PUZZLES = 64


def _success_lambda_1(trainer: Trainer) -> float:
    """`rrm.dynamics.success.success_lambda_1` of the averaged weights; nan where nothing is solved."""
    from rrm.dynamics.success import success_lambda_1
    from rrm.errors import InputError
    from rrm.models import recursive
    from rrm.training.objective import PuzzleObjective

    objective, model = trainer.objective, recursive(trainer.averaged, "success_lambda_1")
    if not isinstance(objective, PuzzleObjective) or not objective.data or objective.segments is None:
        raise InputError("success_lambda_1 is asked of rollouts that solve puzzles: leave it out of --objectives")
    puzzles = objective.data.validation.subset(slice(STABILITY_PUZZLES))
    return success_lambda_1(model, puzzles, objective.data.task, objective.segments)


# By name on the command line. The first one is mandatory: without it models that learn nothing win.
OBJECTIVES = {
    "accuracy": SearchObjective(
        "validation/objective",
        "max",
        "on validation at the last evaluation, with 0.01 of the share of right cells",
    ),
    "success_lambda_1": SearchObjective(
        "validation/success_lambda_1",
        "min",
        "the median over the puzzles that each trial solves itself: one that solves only the easy ones looks calmer",
        _success_lambda_1,
    ),
    "calls": SearchObjective(
        "validation/best_call_units", "min", "the compute until the best of several noisy evaluations"
    ),
}
