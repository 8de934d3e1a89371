"""The report on new puzzles: useful ones per second of the solver, by the way they were made."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rrm.figures.proposals import proposals_figure
from rrm.reports.metrics import interval_metrics
from rrm.reports.report import Report
from rrm.statistics import Interval, wilson_interval
from rrm.statistics.proportions import newcombe_interval
from rrm.terminal.table import table

USEFUL = (0.2, 0.8)  # bounds of the share of attempts that solve a useful puzzle


@dataclass(frozen=True)
class Found:
    """Puzzles of one way, and how a model did at them.

    Attributes:
        successes: int [N], right answers in K attempts.
        rating: float [N], difficulty.
        seconds: CPU time of the solver for all N; None for puzzles that were given.
    """

    successes: np.ndarray
    rating: np.ndarray
    seconds: float | None

    def useful(self, K: int) -> int:
        """Number of puzzles that are solved in a share of attempts inside USEFUL."""
        low, high = USEFUL
        return int(np.count_nonzero((low * K <= self.successes) & (self.successes <= high * K)))

    def share(self, K: int) -> Interval:
        """Share of the puzzles that are useful."""
        return wilson_interval(self.useful(K), len(self.successes))


def report(label: str, task: str, found: Mapping[str, Found], K: int, calls: int) -> Report:
    """The whole report. `found`: by way, the given puzzles under "known"; `calls`: network calls of an attempt."""
    made = {name: each for name, each in found.items() if each.seconds is not None}
    rates = {name: each.useful(K) / each.seconds for name, each in made.items() if each.seconds}
    figure = proposals_figure({name: each.successes / K for name, each in found.items()}, rates, USEFUL)
    return Report(
        tables={f"{task}, {K} attempts a puzzle by {label}": table([_row(*item, K) for item in found.items()])},
        sentences=_sentences(found, rates, K, calls),
        metrics={
            name: value
            for way, each in made.items()
            for name, value in {
                **interval_metrics(f"proposals/{_plain(way)}/useful", each.share(K)),
                f"proposals/{_plain(way)}/useful_per_cpu_s": rates.get(way, 0.0),
            }.items()
        },
        figures={"proposals": figure},
    )


def _plain(way: str) -> str:
    """A way in the names of metrics."""
    return way.replace(",", "").replace(" ", "_")


def _row(name: str, each: Found, K: int) -> dict[str, str]:
    count = len(each.successes)
    row = {"puzzles": name, "number": str(count), "CPU-s": "-", "a CPU-s": "-"}
    if each.seconds:
        row |= {"CPU-s": f"{each.seconds:.3g}", "a CPU-s": f"{count / each.seconds:.0f}"}
    row["useful %"] = f"{each.share(K) * 100:.1f}"
    row["useful a CPU-s"] = f"{each.useful(K) / each.seconds:.0f}" if each.seconds else "-"
    row |= {"solved %": f"{100 * each.successes.mean() / K:.1f}", "rating": f"{each.rating.mean():.2f}"}
    return row


def _sentences(found: Mapping[str, Found], rates: Mapping[str, float], K: int, calls: int) -> list[str]:
    low, high = USEFUL
    known, fresh = found["known"], found["fresh"]
    said = [
        f"A puzzle is useful where {100 * low:.0f} to {100 * high:.0f} % of {K} attempts solve it. Every proposal was "
        "checked again: one solution for a Sudoku, a shortest path as the label of a maze."
    ]
    for name in ("graph", "graph, small moves"):
        walked = found[name]
        difference = (
            newcombe_interval(walked.useful(K), len(walked.successes), fresh.useful(K), len(fresh.successes)) * 100
        )
        said.append(
            f"{name}: {100 * walked.share(K).estimate:.1f} % of the puzzles are useful, of fresh ones "
            f"{100 * fresh.share(K).estimate:.1f} %: a difference of {difference:.1f} points."
        )
        if rates["fresh"] > 0:
            said.append(
                f"{name}: {rates[name]:.0f} useful puzzles a CPU-second of the solver, fresh {rates['fresh']:.0f}: "
                f"{rates[name] / rates['fresh']:.2g} times as many."
            )
    said.append(
        f"The walks start by the outcomes of {len(known.successes)} x {K} attempts, "
        f"{len(known.successes) * K * calls} network calls that the table does not charge."
    )
    for name, each in found.items():
        if each.seconds is not None and each.useful(K):
            spent = len(each.successes) * K * calls / each.useful(K)
            said.append(f"{name}: to find a useful puzzle by attempts takes {spent:.0f} network calls.")
    return said
