"""A trace of a few puzzles of one checkpoint, solved ones and failed ones, for the page to show call by call."""

from argparse import Namespace
from dataclasses import fields

import numpy as np

from rrm.cluster.fanout import gather
from rrm.dynamics.escape import EscapeResult, escape
from rrm.dynamics.trace import PUZZLES, TraceRows, trace
from rrm.reports.boards import report
from rrm.studies.sources import sample_rows
from rrm.studies.study import conduct, prepare, publish_study
from rrm.tasks import get_task
from rrm.tasks.trace import TRACE, Trace, save_trace
from rrm.tasks.verdict import distinct_outcomes

# Puzzles among which solved and failed ones are looked for.
SEARCHED = 256


def run_study(args: Namespace) -> None:
    """Run or resume the study that `args` describe and print its report; InputError before anything starts."""
    frame = prepare(args, "boards")
    model, puzzles = frame.source.model, frame.puzzles
    segments = args.segments or frame.source.segments
    settings = {"puzzles": args.puzzles, "segments": segments, "K": args.K, "sigma": args.sigma, "where": args.where,
                "seed": args.seed}  # fmt: skip
    print(f"model     {frame.source.label}, {segments} segments of {len(model.segment_calls)} calls")
    print(f"puzzles   {puzzles.task}: {len(puzzles)}")

    def work(record: dict, resources: dict[str, float], run: str) -> None:
        chosen = record["settings"]
        searched = sample_rows(len(puzzles), SEARCHED, chosen["seed"])
        few = puzzles.subset(searched)
        ended = gather(
            escape, EscapeResult, model, few, {"segments": chosen["segments"], "seed": chosen["seed"]},
            frame.folder.path / "searched", resources, frame.request, frame.bar("search", len(few)),
        )  # fmt: skip
        right = getattr(ended, distinct_outcomes(few, get_task(few.task))[-1])[:, -1]
        rows = some_of_each(right, chosen["puzzles"], chosen["seed"])
        arguments = {name: chosen[name] for name in ("segments", "K", "sigma", "where", "seed")}
        found = gather(
            trace, TraceRows, model, few.subset(rows), arguments, frame.folder.path / "traced", resources,
            frame.request, frame.bar("traces", len(rows)), shard=PUZZLES,
        )  # fmt: skip
        named = {field.name: getattr(found, field.name) for field in fields(Trace)}
        whole = Trace(**(named | {"index": searched[rows][found.index]}))
        save_trace(whole, frame.folder.path / TRACE)
        publish_study(frame, report(frame.source.label, whole), run, TRACE)

    conduct(frame, lambda resources: settings, work)


def some_of_each(right: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Positions of `count` puzzles, ascending, half of them solved, as far as there are both kinds.

    Args:
        right: [N] bool, solved.
        count: of puzzles, at most N are given.
        seed: of the choice.
    """
    kinds = [np.flatnonzero(right), np.flatnonzero(~right)]
    first = min(max(count // 2, count - len(kinds[1])), len(kinds[0]))
    counts = (first, count - first)
    return np.sort(np.concatenate([of[sample_rows(len(of), n, seed)] for of, n in zip(kinds, counts, strict=True)]))
