"""Pieces of work of a training as Ray tasks, beside the process that trains."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import ray
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

# CPUs of a task. Only CPUs that no trial holds are taken.
_CPUS = 1.0
# To hear whether a task has finished; little beside the work of a piece.
_WAIT_S = 0.1


def spread_over_tasks(function: Callable[[Any], Any], pieces: Sequence[Any]) -> Iterator[tuple[int, Any]]:
    """Yield (position, `function(piece)`) of every piece; see `rrm.training.spread`.

    This process works through the pieces from the front, and Ray tasks from the back where the cluster has CPUs free,
    until they meet. So the work never waits for the cluster: trials that hold all CPUs and wait for each other's tasks
    would wait for ever. A piece whose task has not finished when its turn comes is done here, and the same comes of it.
    A task whose worker dies is repeated or, if its turn comes first, done here.
    """
    free = int(ray.available_resources().get("CPU", 0) / _CPUS)
    # Of n + 1 that work, this process does its share of the pieces.
    given = range(len(pieces) - len(pieces) * free // (free + 1), len(pieces))
    # A trial would put its tasks into its own resources, which hold no room for them.
    no_group: Any = None
    outside = PlacementGroupSchedulingStrategy(placement_group=no_group)
    call = ray.remote(num_cpus=_CPUS, max_retries=3, scheduling_strategy=outside)(_call)
    shared = ray.put(function)
    tasks = {position: call.remote(shared, pieces[position]) for position in reversed(given)}
    try:
        for position, piece in enumerate(pieces):
            yield position, _finished(tasks.get(position), function, piece)
    finally:
        for task in tasks.values():
            ray.cancel(task, force=True)


def _call(function: Callable[[Any], Any], piece: Any) -> Any:
    import torch

    torch.set_num_threads(1)
    return function(piece)


def _finished(task: ray.ObjectRef | None, function: Callable[[Any], Any], piece: Any) -> Any:
    """What the task has found; done here where it has found nothing."""
    try:
        if task is not None and ray.wait([task], timeout=_WAIT_S)[0]:
            return ray.get(task)
    except ray.exceptions.RayError:
        pass  # its workers died
    return function(piece)
