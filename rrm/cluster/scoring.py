"""Test scores of all trials, as Ray tasks over parts of the test puzzles."""

from collections.abc import Iterator, Mapping

import ray

from rrm.cluster.capacity import Request
from rrm.cluster.fanout import as_arrays, device_of, run_tasks, score_model
from rrm.jobs.folder import OUTCOMES, SHORTEST, JobFolder
from rrm.jobs.record import TrialRecord
from rrm.statistics.sweep import pack_outcomes
from rrm.tasks import PuzzleSet
from rrm.terminal.progress import Bar
from rrm.training import checkpoint
from rrm.training.evaluate import means, totals

# Most puzzles a task. A multiple of the batch size, so that the cut changes no score, and of 8, for whole bytes.
SCORED = 4096

Scores = dict[str, dict[str, dict[str, float]]]

# Outcomes that are kept by puzzle: the folder, the score, and its name in scoring.json. "shortest" is one of mazes.
_KEPT = {OUTCOMES: ("exact", "solved"), SHORTEST: ("shortest", "shortest")}


def score_trials(
    folder: JobFolder,
    trials: list[TrialRecord],
    tests: Mapping[str, PuzzleSet],
    resources: dict[str, float],
    request: Request,
) -> Scores:
    """Scores on the test puzzles of every trial's best and final weights, {trial: {"best": {...}, "final": {...}}}.

    `tests`: the puzzles by key. Finished scores are kept in scores.json, finished parts of the score on a large test
    set in scoring.json. The outcome of the best weights on every puzzle is kept, one file a trial, for `read_outcomes`.
    """
    scores: Scores = folder.read("scores") or {}
    begun = folder.read("scoring") or {}
    # Where the last checkpoint is the best one, its weights are the same and are scored once.
    wanted = [(trial, "final") for trial in trials] + [(trial, "best") for trial in trials if not _same(trial)]
    wanted = [(trial, which) for trial, which in wanted if which not in scores.get(trial.name, {})]
    starts = [range(0, len(tests[trial.data or ""]), SCORED) for trial, _ in wanted]
    missing = [[n for n in range(len(parts)) if str(n) not in begun.get(_key(*of), {})]
               for of, parts in zip(wanted, starts, strict=True)]  # fmt: skip
    todo = [(place, number) for place, numbers in enumerate(missing) for number in numbers]
    if wanted:
        total = sum(map(len, starts))
        bar, puzzles = Bar("test scores", total), {key: ray.put(test) for key, test in tests.items()}
        bar.advance(total - len(todo), before=True)

    def jobs() -> Iterator[tuple]:
        for (trial, which), parts, numbers in zip(wanted, starts, missing, strict=True):
            tensors = checkpoint.load_tensors(folder.path / str(trial.checkpoint) / f"{which}.safetensors")
            weights, told = ray.put(as_arrays(tensors)), getattr(trial, which)
            for number in numbers:
                rows, of_trial = slice(parts[number], parts[number] + SCORED), puzzles[trial.data or ""]
                yield told["model"], weights, of_trial, rows, told.get("segments"), device_of(request)

    for position, found, seconds in run_tasks(score_model, jobs(), resources, request):
        place, number = todo[position]
        (trial, which), count = wanted[place], len(starts[place])
        parts = begun.setdefault(_key(trial, which), {})
        packed = {key: pack_outcomes(found[name] > 0).hex() for name, key in _KEPT.values() if name in found}
        parts[str(number)] = {"sums": totals(found), "seconds": seconds, **packed}
        if len(parts) == count:
            del begun[_key(trial, which)]
            ordered = [parts[str(number)] for number in range(count)]
            score = means([part["sums"] for part in ordered]) | {"seconds": sum(part["seconds"] for part in ordered)}
            for place_of, (_, key) in _KEPT.items():
                # An older rrm kept no outcomes of the parts that it scored.
                if (which == "best" or _same(trial)) and all(key in part for part in ordered):
                    (folder.path / place_of).mkdir(exist_ok=True)
                    bits = bytes.fromhex("".join(part[key] for part in ordered))
                    (folder.path / place_of / trial.name).write_bytes(bits)
            scores.setdefault(trial.name, {})[which] = score
            folder.write("scores", scores)
        if count > 1:
            folder.write("scoring", begun)
        bar.advance(1)
    return {name: {"best": of_trial["final"]} | of_trial for name, of_trial in scores.items()}


def _same(trial: TrialRecord) -> bool:
    """Whether the best weights of a trial are its last ones."""
    return trial.best["step"] == trial.final["step"]


def read_outcomes(folder: JobFolder, kept: str = OUTCOMES) -> dict[str, bytes]:
    """{trial: a bit for each test puzzle, whether it is solved}, where outcomes were kept.

    `kept`: OUTCOMES, or SHORTEST for any shortest path through a maze.
    """
    return {file.name: file.read_bytes() for file in (folder.path / kept).glob("*")}


def _key(trial: TrialRecord, which: str) -> str:
    return f"{trial.name}/{which}"
