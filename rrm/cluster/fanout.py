"""Spread work over Ray tasks: shards of puzzles, weights in the object store, results written as they finish."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from rrm.cluster.capacity import Request, trials_at_once
from rrm.dynamics import LyapunovResult, Settings, load_result, measure, save_result
from rrm.dynamics.measure import choose_batch
from rrm.dynamics.result import join_files
from rrm.dynamics.shards import RowResult, join, load_rows, save_rows
from rrm.errors import InputError
from rrm.files import replacing
from rrm.jobs.folder import read_json, write_json
from rrm.models import Model, RecursiveModel, build, describe, recursive
from rrm.models.official import load_strictly
from rrm.tasks import PuzzleSet, get_task
from rrm.training.evaluate import puzzle_scores

SHARD = 64  # puzzles a task where there are many: seconds of work, so that a lost worker loses little
QUEUED = 2  # tasks handed out per running task: no worker waits for the driver, and the driver's memory is bounded
NEWS_S = 900  # without a finished task for so long, a message: nodes may be missing, or the model be large


Progress = Callable[[int, float], None]
Rows = TypeVar("Rows", bound=RowResult)


def run_tasks(
    function: Callable, jobs: Iterable[tuple], resources: dict[str, float], request: Request
) -> Iterator[tuple[int, Any, float]]:
    """Yield (position, result, seconds of work) of `function(*job)` for every job, in the order they finish.

    Jobs are drawn as workers become free. If a worker dies, its job is repeated on a new one. If a job raises an error,
    `run_tasks` cancels the running jobs and raises the error.
    """
    import ray

    at_once = trials_at_once(request, resources)
    # Ray runs every task that fits, so a limit below the room has to bound the tasks handed out.
    handed_out = QUEUED * at_once if at_once != request.at_most else at_once

    def call(*job: Any) -> tuple[Any, float]:
        torch.set_num_threads(max(1, int(request.cpus)))
        started = time.perf_counter()
        result = function(*job)
        return result, time.perf_counter() - started

    remote = ray.remote(num_cpus=request.cpus, num_gpus=request.gpus, max_retries=3)(call)
    numbered = enumerate(jobs)
    pending: dict[ray.ObjectRef, int] = {}
    try:
        while True:
            while len(pending) < handed_out and (drawn := next(numbered, None)):
                pending[remote.remote(*drawn[1])] = drawn[0]
            if not pending:
                return
            ready, _ = ray.wait(list(pending), num_returns=1, timeout=NEWS_S)
            if not ready:
                print(f"no task finished in the last {NEWS_S / 60:g} minutes, {len(pending)} run or wait for nodes")
            for reference in ready:
                yield pending.pop(reference), *ray.get(reference)
    finally:
        for reference in pending:
            ray.cancel(reference, force=True)


def put_weights(model: RecursiveModel) -> tuple[dict, Any]:
    """(description, weights in the object store), from which `on_device` builds the model."""
    import ray

    return describe(model), ray.put(as_arrays(model.state_dict()))


def as_arrays(weights: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """A state dict for the object store. numpy has no bfloat16; float32 holds the same numbers."""
    wide = {torch.bfloat16: torch.float32}
    return {name: value.cpu().to(wide.get(value.dtype, value.dtype)).numpy() for name, value in weights.items()}


def on_device(description: dict, weights: dict, device: str) -> Model:
    """The model of `put_weights` on a worker."""
    # Arrays from the object store are read-only.
    tensors = {name: torch.from_numpy(np.array(value)) for name, value in weights.items()}
    model = build(description)
    if any(tensor.dtype == torch.float64 for tensor in tensors.values()):
        model.double()
    load_strictly(model, tensors)
    return model.eval().to(device)


def device_of(request: Request) -> str:
    """Where the tasks of a request compute."""
    return "cuda" if request.gpus else "cpu"


def score_model(
    description: dict, weights: dict, puzzles: PuzzleSet, rows: slice, segments: int | None, device: str
) -> dict[str, np.ndarray]:
    """`rrm.training.evaluate.puzzle_scores` of one model on some of the puzzles."""
    model = on_device(description, weights, device)
    return puzzle_scores(model, puzzles.subset(rows), get_task(puzzles.task), segments)


def plan_batch(model: RecursiveModel, k: int, count: int, resources: dict[str, float], request: Request) -> int:
    """`choose_batch` for the workers: on an accelerator the batch depends on its memory, which tasks share.

    `count` puzzles make two batches at least: batches are filled up with copies, and few puzzles would pay for many.
    """
    few = 1 << (_half(count) - 1).bit_length()
    if not request.gpus:
        return min(few, choose_batch(model, k))
    job = (describe(model), k, min(1.0, request.gpus))
    return min(few, next(run_tasks(_choose_batch_there, [job], resources, request))[1])


def _choose_batch_there(description: dict, k: int, share: float) -> int:
    return choose_batch(recursive(build(description), "a Lyapunov spectrum").to("cuda"), k, share)


def _measure_shard(
    description: dict, weights: dict, puzzles: PuzzleSet, rows: np.ndarray, settings: Settings, kept: dict[str, bool]
) -> LyapunovResult:
    model = recursive(on_device(description, weights, settings.device), "a Lyapunov spectrum")
    local, covariant = kept.get("keep_local", False), kept.get("keep_covariant", False)
    task = get_task(puzzles.task)
    part = measure(model, puzzles, task, settings, keep_local=local, keep_covariant=covariant)
    return replace(part, index=np.array(rows))


def measure_in_shards(
    model: RecursiveModel,
    puzzles: PuzzleSet,
    settings: Settings,
    folder: Path,
    target: Path,
    provenance: dict[str, str],
    resources: dict[str, float],
    request: Request,
    progress: Progress,
    **kept: bool,
) -> None:
    """`rrm.dynamics.measure` over Ray tasks into the result file `target`.

    Finished shards are kept in `folder` and not computed again. The file is the same for any number of workers, because
    the cut into shards depends on the number of puzzles and the batch size alone. The driver holds a few shards at a
    time. Where `settings.batch` does not fit the workers' memory it is halved, with a message, and kept in `folder`.
    `progress` is called with puzzles and seconds of work of every finished shard. `kept` are options of `measure`.
    """
    import ray

    folder.mkdir(parents=True, exist_ok=True)
    settings = _known_batch(folder, settings)
    weights = put_weights(model)
    while True:
        write_json(folder, "settings", asdict(settings))
        try:
            paths = _measure_shards(weights, puzzles, settings, folder, resources, request, progress, kept)
            break
        except (torch.OutOfMemoryError, ray.exceptions.OutOfMemoryError) as error:
            if settings.batch == 1:
                raise InputError("one puzzle at a time does not fit the workers' memory: lower --k") from error
            settings = replace(settings, batch=settings.batch // 2)
            print(f"out of memory: going on with {settings.batch} puzzles at a time, from the start")
    join_files(paths, target, provenance)


def _known_batch(folder: Path, settings: Settings) -> Settings:
    """The settings, with the batch size of the earlier run in `folder` if all other settings agree."""
    known = read_json(folder, "settings")
    if known and asdict(replace(settings, batch=known["batch"])) == known:
        return replace(settings, batch=known["batch"])
    return settings


def _measure_shards(
    weights: tuple[dict, object],
    puzzles: PuzzleSet,
    settings: Settings,
    folder: Path,
    resources: dict[str, float],
    request: Request,
    progress: Progress,
    kept: dict[str, bool],
) -> list[Path]:
    wanted = {name for name, value in kept.items() if value}

    def read(path: Path) -> LyapunovResult | None:
        known = load_result(path)
        same = known.settings == settings and {f"keep_{name}" for name in known.requested} == wanted
        return known if same else None

    def job(rows: np.ndarray) -> tuple:
        return *weights, puzzles.subset(rows), rows, settings, kept

    least = min(SHARD, _half(len(puzzles)))
    shards = _cut(len(puzzles), settings.batch * -(-least // settings.batch))
    paths = [folder / f"shard-{number:06d}.safetensors" for number in range(len(shards))]
    _complete(_measure_shard, job, shards, paths, read, _write_shard, resources, request, progress)
    return paths


def _half(count: int) -> int:
    return max(1, -(-count // 2))


def _cut(count: int, size: int) -> list[np.ndarray]:
    """The rows of each shard of `size` puzzles."""
    return [np.arange(first, min(first + size, count)) for first in range(0, count, size)]


def _complete(
    function: Callable,
    job: Callable[[np.ndarray], tuple],
    shards: list[np.ndarray],
    paths: list[Path],
    read: Callable[[Path], object],
    write: Callable[[Any, Path], None],
    resources: dict[str, float],
    request: Request,
    progress: Progress,
) -> None:
    """Run `function(*job(rows))` for every shard that `read` does not find whole in its file, and `write` the result.

    `progress` is called with puzzles and seconds of work: once for the earlier shards, then for each new one.
    """
    missing = [number for number, path in enumerate(paths) if _finished(read, path) is None]
    if done := sum(map(len, shards)) - sum(len(shards[number]) for number in missing):
        progress(done, 0.0)
    jobs = (job(shards[number]) for number in missing)
    for position, part, seconds in run_tasks(function, jobs, resources, request):
        write(part, paths[missing[position]])
        progress(len(shards[missing[position]]), seconds)


def gather(
    function: Callable,
    kind: type[Rows],
    model: RecursiveModel,
    puzzles: PuzzleSet,
    arguments: dict,
    folder: Path,
    resources: dict[str, float],
    request: Request,
    progress: Progress,
    shard: int = SHARD,
) -> Rows:
    """As `gather_shards`, joined."""
    return join(gather_shards(function, kind, model, puzzles, arguments, folder, resources, request, progress, shard))


def gather_shards(
    function: Callable,
    kind: type[Rows],
    model: RecursiveModel,
    puzzles: PuzzleSet,
    arguments: dict,
    folder: Path,
    resources: dict[str, float],
    request: Request,
    progress: Progress,
    shard: int = SHARD,
) -> list[Rows]:
    """`function(model, puzzles, task, index=rows, **arguments)` over shards of rows; a few hundred puzzles.

    `function` returns a `kind` that `rrm.dynamics.shards` can join. Finished shards are kept in `folder`, which must
    belong to these arguments alone, and not computed again.
    """
    import ray

    folder.mkdir(parents=True, exist_ok=True)
    weights, everything = put_weights(model), ray.put(puzzles)

    def job(rows: np.ndarray) -> tuple:
        return function, *weights, everything, rows, arguments, device_of(request)

    shards = _cut(len(puzzles), shard)
    paths = [folder / f"shard-{number:06d}.npz" for number in range(len(shards))]
    read = partial(load_rows, kind, current=True)
    _complete(_call_on_rows, job, shards, paths, read, save_rows, resources, request, progress)
    return [load_rows(kind, path) for path in paths]


def _finished(read: Callable[[Path], object], path: Path) -> object:
    """A shard of an earlier run; None without one, or with a message where it is damaged."""
    try:
        return read(path) if path.exists() else None
    except InputError as error:
        print(f"{error}: this is done now")
        return None


def _call_on_rows(
    function: Callable,
    description: dict,
    weights: dict,
    puzzles: PuzzleSet,
    rows: np.ndarray,
    arguments: dict,
    device: str,
) -> object:
    return function(
        on_device(description, weights, device), puzzles, get_task(puzzles.task), index=np.array(rows), **arguments
    )


def _write_shard(part: LyapunovResult, path: Path) -> None:
    with replacing(path) as unfinished:
        save_result(part, unfinished)
