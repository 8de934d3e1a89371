"""Accuracy of trials with one rollout and with several of which the Q head chooses one, as Ray tasks."""

from collections.abc import Mapping

import numpy as np
import ray

from rrm.cluster.capacity import Request
from rrm.cluster.fanout import as_arrays, device_of, on_device, run_tasks
from rrm.jobs.folder import JobFolder
from rrm.jobs.record import TrialRecord
from rrm.models import recursive
from rrm.tasks import PuzzleSet, get_task
from rrm.tasks.verdict import verdict
from rrm.terminal.progress import Bar
from rrm.training import checkpoint
from rrm.training.attempts import Attempts, attempt

SELECTED = "selected"  # of the file in the folder of a job


def select_by_q(
    description: dict, weights: dict, puzzles: PuzzleSet, segments: int, K: int, sigma: float, seed: int, device: str
) -> dict[str, float]:
    """Shares of puzzles solved: "clean" by one rollout without noise, "chosen" by that of K noisy rollouts whose Q head
    is surest, "any" by one of the K.
    """
    model, task = recursive(on_device(description, weights, device), "a choice by the Q head"), get_task(puzzles.task)
    clean = attempt(model, puzzles, task, segments, rollouts=1, sigma=0.0, seed=seed)
    noisy = attempt(model, puzzles, task, segments, rollouts=K, sigma=sigma, seed=seed)
    solved = _solved(puzzles, noisy)
    chosen = solved[np.arange(len(puzzles)), np.nan_to_num(noisy.q, nan=-np.inf).argmax(1)]
    shares = {"clean": _solved(puzzles, clean), "chosen": chosen, "any": solved.any(1)}
    return {name: float(values.mean()) for name, values in shares.items()}


def _solved(puzzles: PuzzleSet, attempts: Attempts) -> np.ndarray:
    """bool [N, K], by the rules; of a maze, along a shortest path."""
    N, K, S = attempts.answers.shape
    repeated, task = puzzles.subset(np.repeat(np.arange(N), K)), get_task(puzzles.task)
    return verdict(repeated, task, attempts.answers.reshape(N * K, S))["shortest"].reshape(N, K)


def select_trials(
    folder: JobFolder,
    trials: list[TrialRecord],
    tests: Mapping[str, PuzzleSet],
    K: int,
    sigma: float,
    resources: dict[str, float],
    request: Request,
) -> dict[str, dict[str, float]]:
    """`select_by_q` of the best weights of every trial on its test puzzles, by name; finished ones are kept."""
    done: dict[str, dict[str, float]] = folder.read(SELECTED) or {}
    todo = [trial for trial in trials if trial.name not in done]
    bar, puzzles = Bar("selection", len(trials)), {key: ray.put(test) for key, test in tests.items()}
    bar.advance(len(trials) - len(todo), before=True)

    def job(trial: TrialRecord) -> tuple:
        tensors = checkpoint.load_tensors(folder.path / str(trial.checkpoint) / "best.safetensors")
        test, told = puzzles[trial.data or ""], trial.best
        return told["model"], as_arrays(tensors), test, told["segments"], K, sigma, 0, device_of(request)

    for position, found, _ in run_tasks(select_by_q, map(job, todo), resources, request):
        done[todo[position].name] = found
        folder.write(SELECTED, done)
        bar.advance(1)
    return {trial.name: done[trial.name] for trial in trials}
