"""The report of a trace: which puzzles were traced, and how their rollouts ended."""

import numpy as np

from rrm.reports.report import Report
from rrm.tasks.trace import Trace
from rrm.terminal.table import table


def report(label: str, trace: Trace) -> Report:
    """A line a puzzle: its position in the data set, how the rollout without noise ended, and how many noisy ones."""
    puzzles, K = len(trace.index), trace.answers.shape[1] - 1
    ended = trace.right[:, :, -1]
    rows = []
    for index, right, of_noisy in zip(trace.index, trace.right[:, 0], ended[:, 1:].sum(1), strict=True):
        wrong = np.flatnonzero(~right)
        since = wrong[-1] + 2 if len(wrong) else 1
        rows.append(
            {
                "puzzle": str(index),
                "without noise": "solved" if right[-1] else "failed",
                "right from call": str(since) if right[-1] else "-",
                "noisy rollouts right": f"{of_noisy} of {K}",
            }
        )
    solved = int(ended[:, 0].sum())
    said = (
        f"{label}: {puzzles} puzzles over {trace.segments} segments of {len(trace.calls)} calls, {solved} of them "
        "solved without noise"
    )
    noisy = f", {ended[:, 1:].sum()} of {puzzles * K} rollouts with noise {trace.sigma:g} on {trace.where}" * (K > 0)
    return Report(
        tables={"rollouts": table(rows)},
        sentences=[said + noisy],
        metrics={"boards/puzzles": float(puzzles), "boards/solved": float(solved)},
        places=["page      python -m rrm explore, tab Boards"],
    )
