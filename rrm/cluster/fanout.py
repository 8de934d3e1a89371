"""Spreading work over Ray tasks: shards of puzzles, weights put once, results as they finish."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from rrm.cluster.session import Request, trials_at_once
from rrm.dynamics import LyapunovResult, Settings, join_results, load_result, measure, save_result
from rrm.models import RecursiveModel, build, describe
from rrm.models.official import load_strictly
from rrm.tasks import PuzzleSet, get_task
from rrm.training.evaluate import evaluate

SHARD = 64  # puzzles a task: seconds of work, so that a lost worker loses little
SILENCE_S = 900  # no task finished for so long: something is wrong, not slow


def run_tasks(
    function: Callable, jobs: Sequence[tuple], resources: dict[str, float], request: Request
) -> Iterator[tuple[int, object, float]]:
    """Yield (position, result, seconds of work) of `function(*job)` for every job, in the order they finish.

    A worker that dies is replaced and its job repeated; a job that raises ends the whole with its error.
    """
    import ray

    trials_at_once(request, resources)

    def call(*job):
        torch.set_num_threads(max(1, int(request.cpus)))
        started = time.perf_counter()
        result = function(*job)
        return result, time.perf_counter() - started

    remote = ray.remote(num_cpus=request.cpus, num_gpus=request.gpus, max_retries=3)(call)
    pending = {remote.remote(*job): position for position, job in enumerate(jobs)}
    while pending:
        ready, _ = ray.wait(list(pending), num_returns=1, timeout=SILENCE_S)
        if not ready:
            raise TimeoutError(f"no task finished in {SILENCE_S} s, {len(pending)} are waiting")
        for reference in ready:
            yield pending.pop(reference), *ray.get(reference)


def _on_device(description: dict, weights: dict):
    model = build(description)
    # Arrays from the object store are read-only.
    load_strictly(model, {name: torch.from_numpy(np.array(value)) for name, value in weights.items()})
    return model.eval().to("cuda" if torch.cuda.is_available() else "cpu")


def score_model(description: dict, weights: dict, puzzles: PuzzleSet, segments: int) -> dict[str, float]:
    """`rrm.training.evaluate` of one model on the puzzles."""
    return evaluate(_on_device(description, weights), puzzles, get_task(puzzles.task), segments)


def measure_shard(description: dict, weights: dict, puzzles: PuzzleSet, rows: np.ndarray, settings: Settings):
    """`rrm.dynamics.measure` of the puzzles at `rows`."""
    return measure(_on_device(description, weights), puzzles, get_task(puzzles.task), settings, np.array(rows))


def measure_in_shards(
    model: RecursiveModel,
    puzzles: PuzzleSet,
    settings: Settings,
    folder: Path,
    resources: dict[str, float],
    request: Request,
    progress: Callable[[int, float], None],
) -> LyapunovResult:
    """`rrm.dynamics.measure` over Ray tasks; finished shards are kept in `folder` and not computed again.

    The same for any number of workers, because the cut into shards depends on the number of puzzles alone. `progress`
    hears of every finished shard: puzzles, seconds of work.
    """
    import ray

    folder.mkdir(parents=True, exist_ok=True)
    shards = [np.arange(first, min(first + SHARD, len(puzzles))) for first in range(0, len(puzzles), SHARD)]
    parts: dict[int, LyapunovResult] = {}
    for number in range(len(shards)):
        path = _shard_path(folder, number)
        if path.exists() and (known := load_result(path)).settings == settings:
            parts[number] = known
            progress(len(known), 0.0)
    missing = [number for number in range(len(shards)) if number not in parts]
    weights = ray.put({name: value.cpu().numpy() for name, value in model.state_dict().items()})
    everything = ray.put(puzzles)
    jobs = [(describe(model), weights, everything, shards[number], settings) for number in missing]
    for position, part, seconds in run_tasks(measure_shard, jobs, resources, request):
        number = missing[position]
        unfinished = _shard_path(folder, number).with_suffix(".part")
        save_result(part, unfinished)
        unfinished.rename(_shard_path(folder, number))
        parts[number] = part
        progress(len(part), seconds)
    return join_results([parts[number] for number in range(len(shards))])


def _shard_path(folder: Path, number: int) -> Path:
    return folder / f"shard-{number:05d}.safetensors"
