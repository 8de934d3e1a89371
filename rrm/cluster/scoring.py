"""Test scores of all trials, as Ray tasks over parts of the test puzzles."""

from collections.abc import Iterator

import ray

from rrm.cluster.fanout import as_arrays, device_of, run_tasks, score_model
from rrm.cluster.session import Request
from rrm.jobs.folder import OUTCOMES, JobFolder
from rrm.statistics.sweep import pack_outcomes
from rrm.tasks.splits import Splits
from rrm.terminal.progress import Bar
from rrm.training import checkpoint
from rrm.training.evaluate import means, totals

# Puzzles a task, at most: full batches, so that the cut changes nothing, and full bytes of outcomes.
SCORED = 4096


def score_trials(folder: JobFolder, trials: list[dict], splits: Splits, resources: dict, request: Request) -> dict:
    """Scores on the test puzzles of every trial's best and final weights, {trial: {"best": {...}, "final": {...}}}.

    What is finished stays in scores.json, and of a large test set the finished parts of a score in scoring.json. Which
    puzzles the best weights solve stays in outcomes/, one file a trial, for `read_outcomes`.
    """
    scores, begun = folder.read("scores") or {}, folder.read("scoring") or {}
    # Where the last checkpoint is the best one, its weights are the same and are scored once.
    wanted = [(t, "final") for t in trials] + [(t, "best") for t in trials if t["best"]["step"] != t["final"]["step"]]
    wanted = [(t, which) for t, which in wanted if which not in scores.get(t["name"], {})]
    starts = range(0, len(splits.test), SCORED)
    missing = [[n for n in range(len(starts)) if str(n) not in begun.get(_key(*of), {})] for of in wanted]
    todo = [(*of, number) for of, numbers in zip(wanted, missing, strict=True) for number in numbers]
    if wanted:
        bar, puzzles = Bar("test scores", len(wanted) * len(starts)), ray.put(splits.test)
        bar.advance(len(wanted) * len(starts) - len(todo), before=True)

    def jobs() -> Iterator[tuple]:
        for (trial, which), numbers in zip(wanted, missing, strict=True):
            tensors = checkpoint.load_tensors(folder.path / trial["checkpoint"] / f"{which}.safetensors")
            weights = ray.put(as_arrays(tensors))
            for number in numbers:
                rows = slice(starts[number], starts[number] + SCORED)
                yield trial[which]["model"], weights, puzzles, rows, trial[which].get("segments"), device_of(request)

    for position, found, seconds in run_tasks(score_model, jobs(), resources, request):
        trial, which, number = todo[position]
        parts = begun.setdefault(_key(trial, which), {})
        bits = pack_outcomes(found["exact"] > 0).hex()
        parts[str(number)] = {"sums": totals(found), "seconds": seconds, "solved": bits}
        if len(parts) == len(starts):
            del begun[_key(trial, which)]
            ordered = [parts[str(number)] for number in range(len(starts))]
            score = means([part["sums"] for part in ordered]) | {"seconds": sum(part["seconds"] for part in ordered)}
            of_best = which == "best" or trial["best"]["step"] == trial["final"]["step"]
            # Parts that were scored before outcomes were kept leave a gap in them.
            if of_best and all("solved" in part for part in ordered):
                (folder.path / OUTCOMES).mkdir(exist_ok=True)
                bits = bytes.fromhex("".join(part["solved"] for part in ordered))
                (folder.path / OUTCOMES / trial["name"]).write_bytes(bits)
            scores.setdefault(trial["name"], {})[which] = score
            folder.write("scores", scores)
        if len(starts) > 1:
            folder.write("scoring", begun)
        bar.advance(1)
    return {name: {"best": of_trial["final"]} | of_trial for name, of_trial in scores.items()}


def read_outcomes(folder: JobFolder) -> dict[str, bytes]:
    """Which test puzzles each trial solves, packed, by its name, where that was kept."""
    return {file.name: file.read_bytes() for file in (folder.path / OUTCOMES).glob("*")}


def _key(trial: dict, which: str) -> str:
    return f"{trial['name']}/{which}"
