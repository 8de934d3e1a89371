"""The report on trials and arms, for any training: one line a trial, the best trial, arms against their baseline."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from rrm.jobs.naming import config_columns
from rrm.jobs.record import TrialRecord
from rrm.reports.metrics import interval_metrics
from rrm.statistics import SweepPoint
from rrm.statistics.arms import ArmComparison
from rrm.statistics.sweep import unpack_outcomes
from rrm.terminal.table import table

# By trial and weights ("best" or "final").
Scores = Mapping[str, Mapping[str, Mapping[str, float]]]


def points(
    trials: Sequence[TrialRecord],
    scores: Scores,
    counts: Mapping[str, int],
    outcomes: Mapping[str, bytes],
    score: str = "exact",
    shortest: Mapping[str, bytes] = MappingProxyType({}),
) -> list[SweepPoint]:
    """One point a trial, for figures and the comparison of arms.

    Args:
        scores: on the test puzzles. A trial whose objective brought its own data has those on its validation data.
        counts: numbers of test puzzles by key of the data.
        outcomes: {trial: a bit for each test puzzle, whether it is solved}, where outcomes were kept.
        score: name of the score that is compared.
        shortest: as `outcomes`, of mazes: whether the answer is any shortest path.
    """
    return [
        SweepPoint(
            model=t.group, seed=t.config["seed"], drawn=t.drawn, **t.arm.to_dict(),
            best=scores[t.name]["best"][score], final=scores[t.name]["final"][score],
            n=None if t.data is None else counts[t.data], validation=t.best[score], area=float(np.mean(t.curve)),
            call_units=t.call_units, stopped_early=t.stopped_early,
            best_at_halting=scores[t.name]["best"].get(f"{score}_at_halting"),
            final_at_halting=scores[t.name]["final"].get(f"{score}_at_halting"),
            finished=t.finished["puzzles"] if t.finished else None, segments_per_puzzle=t.segments_per_puzzle,
            solved=unpack_outcomes(outcomes[t.name], counts[t.data or ""]) if t.name in outcomes else None,
            cells=scores[t.name]["best"].get("cells"),
            along_shortest=unpack_outcomes(shortest[t.name], counts[t.data or ""]) if t.name in shortest else None,
        )
        for t in trials
    ]  # fmt: skip


def summary_table(trials: Sequence[TrialRecord], scores: Scores, score: str = "exact") -> list[str]:
    """One line per trial; accuracies in per cent, at halting of the last weights."""
    halting = f"{score}_at_halting"
    has_halting = any(halting in scores[t.name]["final"] for t in trials)
    rows = []
    for t in trials:
        found = scores[t.name]
        row = {"trial": t.name, **config_columns(t.config)} | {
            "status": "failed" if t.failed else "stopped" if t.stopped_early else "done",
            "steps": str(t.final["step"]),
            "validation best %": f"{100 * t.best[score]:.1f}",
        }
        if t.data is not None:
            row |= {f"test {which} %": f"{100 * found[which][score]:.1f}" for which in ("best", "final")}
        if has_halting:
            row["final at halting %"] = f"{100 * found['final'][halting]:.1f}" if halting in found["final"] else ""
        if "shortest" in found["best"]:
            row["any shortest path %"] = f"{100 * found['best']['shortest']:.1f}"
        if "cells" in found["best"]:
            row["cells %"] = f"{100 * found['best']['cells']:.1f}"
        rows.append(row | {"train s": f"{t.seconds['train'] + t.seconds['evaluate']:.0f}"})
    return table(rows)


def best_line(best: TrialRecord, scores: Scores, score: str = "exact") -> str:
    """The best trial on validation and its configuration, in words."""
    config = ", ".join(f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}"
                       for key, value in best.config.items() if key != "trial")  # fmt: skip
    found = scores[best.name]["best"]
    test = "" if best.data is None else f", {found[score]:.1%} on test"
    if (halting := f"{score}_at_halting") in found:
        test += f" ({found[halting]:.1%} at halting)"
    return f"best      {best.name}: {config}; {score} {best.best[score]:.1%} on validation{test}"


def comparison_metrics(comparison: ArmComparison) -> dict[str, float]:
    """The differences of an arm from its baseline, with their intervals, as metrics (fractions)."""
    values: dict[str, float] = {}
    for measure, contrast in comparison.contrasts.items():
        values |= interval_metrics(f"arms/{comparison.model}/{comparison.arm}/{measure}", contrast.difference)
    return values
