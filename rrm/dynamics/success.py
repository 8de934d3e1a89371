"""The stability of successes in one number, cheap enough to be asked during a search."""

from rrm.dynamics.bases import start_bases
from rrm.dynamics.lyapunov import default_transient
from rrm.models import RecursiveModel
from rrm.tasks.base import PuzzleSet, Task


def success_lambda_1(model: RecursiveModel, puzzles: PuzzleSet, task: Task, segments: int) -> float:
    """Median leading exponent, in nats per network call, of the rollouts that solve their puzzle after `segments`.

    From the start basis of seed 0, the transient of `default_transient` left out. nan without a solved puzzle.

    Raises:
        ValueError: as `start_bases`.
    """
    was_training = model.training
    model.eval()
    found = start_bases(model, puzzles, task, segments, transient=default_transient(segments), seeds=(0,))
    model.train(was_training)
    return float(found.medians(solved=True)[0])
