"""A study of new puzzles: which way makes puzzles that a trained model solves sometimes, for how much solver time."""

import json
from argparse import Namespace
from functools import partial
from typing import Any

import numpy as np

from rrm.cluster.fanout import gather
from rrm.dynamics.sampling import PUZZLES
from rrm.dynamics.stochastic import StochasticResult, stochastic_rollouts
from rrm.errors import InputError
from rrm.files import replacing
from rrm.reports.proposals import Found, report
from rrm.studies.selection import rows_together, with_noise
from rrm.studies.study import Frame, conduct, prepare, publish_study
from rrm.tasks import PuzzleSet, get_task
from rrm.tasks.difficulty import rated
from rrm.tasks.graph import PuzzleGraph
from rrm.tasks.graph.proposals import Proposed, propose
from rrm.tasks.puzzle_file import load_puzzles
from rrm.tasks.sudoku import SudokuTask
from rrm.tasks.verdict import distinct_outcomes

RESULT = "proposals.npz"


def run_study(args: Namespace) -> None:
    """Run or resume the study that `args` describe and print its report; InputError before anything starts."""
    frame = prepare(args, "proposals")
    model, puzzles = frame.source.model, frame.puzzles
    task = get_task(puzzles.task)
    graph = _graph(puzzles)
    settings = {"K": args.K, "sigma": args.sigma, "where": args.where, "proposals": args.proposals,
                "length": args.length, "seed": args.seed, "segments": frame.source.segments,
                "batch_size": rows_together(frame.request)}  # fmt: skip
    label = with_noise(frame.source.label, args.sigma, args.where)
    print(f"model     {label}, {args.K} rollouts of {frame.source.segments} segments")
    print(f"puzzles   {puzzles.task}: {len(graph)} known")

    def work(record: dict, resources: dict[str, float], run: str) -> None:
        chosen = record["settings"]

        def successes(some: PuzzleSet, name: str, seed: int) -> np.ndarray:
            """int [N]: right answers among K noisy rollouts of each puzzle."""
            result = gather(
                stochastic_rollouts, StochasticResult, model, some,
                {"K": chosen["K"], "depths": [chosen["segments"]], "sigma": chosen["sigma"], "where": chosen["where"],
                 "growth": False, "seed": seed, "batch_size": chosen["batch_size"]},
                frame.folder.path / name, resources, frame.request, frame.bar(name, len(some)), shard=PUZZLES,
            )  # fmt: skip
            return getattr(result, distinct_outcomes(some, task)[-1])[:, 1:, -1].sum(1)

        K, seed = chosen["K"], chosen["seed"]
        solved = successes(graph.puzzles(), "known", seed)
        seen = graph.observe(np.arange(len(graph)), solved, np.full(len(graph), K))
        found = {"known": Found(solved, rated(graph.puzzles()).rating, None)}
        proposed = _proposed(frame, seen, chosen)
        for number, (name, each) in enumerate(proposed.items(), start=1):
            task.check(each.puzzles, partial("proposal {} of {way}".format, way=name))
            solved = successes(each.puzzles, name.replace(", ", "-").replace(" ", "-"), seed + number)
            found[name] = Found(solved, rated(each.puzzles).rating, each.seconds)
        with replacing(frame.folder.path / RESULT) as unfinished, open(unfinished, "wb") as file:
            arrays: dict[str, Any] = {f"{name}/successes": each.successes for name, each in found.items()}
            np.savez_compressed(file, **arrays)
        calls = chosen["segments"] * len(model.segment_calls)
        publish_study(frame, report(label, puzzles.task, found, K, calls), run, RESULT)

    conduct(frame, lambda resources: settings, work)


def _graph(puzzles: PuzzleSet) -> PuzzleGraph:
    """The known puzzles as a graph whose bounds are their own numbers of givens; mazes keep those of their family."""
    if len(puzzles) < 2:
        raise InputError("one puzzle says nothing of puzzles: give 2 or more")
    graph = PuzzleGraph.of(puzzles)
    if not isinstance(get_task(puzzles.task), SudokuTask):
        return graph
    givens = graph.moves.size(puzzles.inputs, puzzles.labels)
    return PuzzleGraph.of(puzzles, (int(givens.min()), int(givens.max())))


def _proposed(frame: Frame, known: PuzzleGraph, chosen: dict) -> dict[str, Proposed]:
    """The proposals of all ways; a resumed study has those that were made before, with the time that they took."""
    folder = frame.folder.path / "proposed"
    times = folder / "seconds.json"
    if not times.exists():
        folder.mkdir(exist_ok=True)
        made = propose(known, chosen["proposals"], chosen["length"], chosen["seed"])
        for name, each in made.items():
            each.puzzles.save(folder / f"{name}.npz")
        with replacing(times) as unfinished:
            unfinished.write_text(json.dumps({name: each.seconds for name, each in made.items()}), encoding="utf-8")
    seconds = json.loads(times.read_text(encoding="utf-8"))
    return {name: Proposed(load_puzzles(folder / f"{name}.npz"), taken) for name, taken in seconds.items()}
