"""The report on noisy rollouts: accuracy of every selector, calibration of Q, agreement of Q and stability."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isnan, nan

import numpy as np
from matplotlib.figure import Figure
from scipy.special import expit

from rrm.dynamics.escape import EscapeResult
from rrm.dynamics.stochastic import StochasticResult
from rrm.figures.selection import selection_figure
from rrm.reports.metrics import interval_metrics
from rrm.reports.report import Report
from rrm.reports.selectors import extra_segments, scores, stops
from rrm.statistics import Interval, wilson_interval
from rrm.statistics.calibration import Calibration, calibration
from rrm.statistics.hypotheses import Verdicts, detectable_words
from rrm.statistics.proportions import clustered_share
from rrm.statistics.selection import MAJORITY, ORACLE, RANDOM, Selected, Stops, selection
from rrm.statistics.within_problem import (
    MIN_MIXED,
    agreement,
    mean_correlation,
    mixed_problems,
    pooled_correlation,
    within_problem,
)
from rrm.terminal.table import table

# Ways to correlate Q with stability within problems.
PLAIN, SETTLING, BOTH = "within problems", "given settling time", "and agreement too"
# Words for the outcomes of a task that has several.
COUNTED = {
    "solved": "only the label's answer counted",
    "valid": "any valid answer counted",
    "shortest": "any shortest path counted",
}


@dataclass(frozen=True)
class Stopped:
    """Rollouts that a rule stops, of all noisy ones together; intervals over puzzles.

    Attributes:
        selector: that takes the first of them.
        share: of the rollouts that stop within the depth.
        segment: mean segment at which they do; nan where none stops.
        right: share of them whose answer is right then; None where none stops.
    """

    selector: str
    share: Interval
    segment: float
    right: Interval | None


@dataclass(frozen=True)
class Found:
    """Statistics of the noisy rollouts of N puzzles at one depth.

    Attributes:
        label: of the model and its noise.  depth: in segments.
        outcome: the meaning of solved, one of `rrm.tasks.verdict.OUTCOMES`.  counted: the outcome in words, "" where
            the task has a single one.
        table: selectors at every number of rollouts.  clean: accuracy of the rollout without noise.
        calibration: of the Q head; None without one.
        within: by name, the correlations [n] of the mixed problems and their mean; empty without Q head.
        pooled: correlations over all rollouts at once.
        mixed: number of mixed problems.
        calls_per_segment: network calls; 0 where they are not known.
        stopped: by every rule that stops rollouts.
    """

    label: str
    depth: int
    outcome: str
    counted: str
    table: list[Selected]
    clean: Interval
    calibration: Calibration | None
    within: dict[str, tuple[np.ndarray, Interval]]
    pooled: dict[str, Interval]
    mixed: int
    calls_per_segment: int
    stopped: list[Stopped]

    def calls(self, row: Selected) -> Interval:
        """Network calls for a puzzle, mean over puzzles, those of the selector's own measurement included."""
        ends, extra = row.segments, extra_segments(row.selector, self.depth, row.k)
        shifted = replace(ends, estimate=ends.estimate + extra, low=ends.low + extra, high=ends.high + extra)
        return shifted * self.calls_per_segment

    @property
    def name(self) -> str:
        """Depth and outcome for the names of metrics and files."""
        return f"depth_{self.depth}" + ("" if self.outcome == "solved" else f"_{self.outcome}")

    @property
    def after(self) -> str:
        """Depth and outcome for titles."""
        return f"after {self.depth} segments" + (f", {self.counted}" if self.counted else "")


def findings(
    label: str,
    result: StochasticResult,
    outcomes: Sequence[str],
    counts: Sequence[int] | None = None,
    deep: EscapeResult | None = None,
) -> list[Found]:
    """The statistics at every depth in turn, for every outcome.

    `counts`: numbers of rollouts to choose from; default 1, 4, 16, ... and K.  `deep`: rollouts without noise of the
    same puzzles, to compare at equal calls.
    """
    return [
        find(label, result, place, outcome, COUNTED[outcome] if len(outcomes) > 1 else "", counts, deep)
        for place in range(len(result.depths))
        for outcome in outcomes
    ]


def report(found: Sequence[Found], also: Sequence[Interval] = ()) -> Report:
    """The whole report; its sentences are about the last depth.

    `also`: mean differences that the caller tests in sentences of its own.
    """
    spoken = [each for each in found if each.depth == found[-1].depth]
    said = Report(Verdicts([*(mean for each in spoken for mean in tested(each)), *also]))
    if said.verdicts.tests > 1:
        said.sentences.append(
            f"The sentences below make {said.verdicts.tests} tests: each p, and each size that would be found 4 times "
            "in 5, is after Holm's correction for all of them."
        )
    for each in found:
        said.tables |= tables(each)
        said.metrics |= metrics(each)
        said.figures[f"fig4_selection_{each.name}"] = figure(each)
        if each in spoken:
            said.sentences += sentences(each, said.verdicts)
    return said


def find(
    label: str,
    result: StochasticResult,
    place: int,
    outcome: str = "solved",
    counted: str = "",
    counts: Sequence[int] | None = None,
    deep: EscapeResult | None = None,
) -> Found:
    """The statistics at depths[place]; all but `clean` are over the noisy rollouts, which are exchangeable."""
    depth, noisy = int(result.depths[place]), (slice(None), slice(1, None), place)
    right = getattr(result, outcome)
    solved, answer, q, stability = right[noisy], result.answer[noisy], result.q_halt[noisy], -result.growth[noisy]
    rules = stops(result, place, outcome)
    alone = None if deep is None else getattr(deep, outcome)
    selectors = selection(solved, answer, scores(result, place), counts, depth=depth, stops=rules, alone=alone)
    of_rules = result.calls_per_segment, [_stopped(name, rule) for name, rule in rules.items()]
    clean = wilson_interval(int(right[:, 0, place].sum()), len(solved))
    mixed = mixed_problems(solved)
    number = int(np.count_nonzero(mixed))
    known = np.isfinite(q).all(1)
    if np.count_nonzero(known) < 2:
        return Found(label, depth, outcome, counted, selectors, clean, None, {}, {}, number, *of_rules)
    within, pooled = {}, {"pooled, all problems": pooled_correlation(q, stability)}
    if mixed.any():
        settled = result.settled[noisy]
        controls = {PLAIN: [], SETTLING: [settled], BOTH: [settled, agreement(answer)]}
        for name, held in controls.items():
            values = within_problem(q[mixed], stability[mixed], [control[mixed] for control in held])
            within[name] = values, mean_correlation(values)
        pooled["pooled, mixed ones"] = pooled_correlation(q[mixed], stability[mixed])
    found = calibration(expit(q[known].astype(float)), solved[known])
    return Found(label, depth, outcome, counted, selectors, clean, found, within, pooled, number, *of_rules)


def _stopped(selector: str, rule: Stops) -> Stopped:
    stop = rule.segment > 0
    share = clustered_share(stop, np.ones_like(stop))
    if not stop.any():
        return Stopped(selector, share, nan, None)
    return Stopped(selector, share, float(rule.segment[stop].mean()), clustered_share(rule.solved, stop))


def _spoken(found: Found) -> list[Selected]:
    """The selectors in the sentences, at the largest number of rollouts."""
    return [row for row in found.table if row.k == found.table[-1].k and row.selector not in (RANDOM, ORACLE)]


def tested(found: Found) -> list[Interval]:
    """The means that the sentences test against 0."""
    rows = _spoken(found)
    correlations = [found.within[name][1] for name in (PLAIN, SETTLING) if name in found.within]
    return [
        *(row.over_random for row in rows),
        *(row.over_majority for row in rows if row.selector != MAJORITY),
        *(mean for mean in correlations if mean.n >= MIN_MIXED),
    ]


def sentences(found: Found, verdicts: Verdicts) -> list[str]:
    """Sentences: the gain by noise, the best selector, and the agreement of Q and stability within problems."""
    rows, clean = found.table, found.clean
    last = {row.selector: row for row in rows if row.k == rows[-1].k}
    K = rows[-1].k
    text = [
        f"{found.label}: {found.after}, one rollout without noise solves {percent(clean)} of {clean.n} puzzles, one of "
        f"{K} others {percent(last[RANDOM].accuracy)}, at least one of these {percent(last[ORACLE].accuracy)}."
    ]
    for row in _spoken(found):
        words = f"Of {K} rollouts, {row.selector} is {_versus('random', row.over_random, verdicts)}"
        if row.selector != MAJORITY:
            words += f" and {_versus('the majority', row.over_majority, verdicts)}"
        price = f", with {found.calls(row).estimate:.0f} calls a puzzle" if found.calls_per_segment else ""
        text.append(
            f"{words}: it solves {percent(row.accuracy)}{price}, {row.gap * 100:z.1f} points short of the oracle."
        )
    if found.calibration is None:
        return [*text, f"{found.mixed} problems are mixed; without a Q head there is nothing to set beside stability."]
    if not found.within:
        return [*text, "0 problems are mixed: nothing can be said of Q and stability within problems."]
    text += [_correlation(name, found.within[name][1], verdicts) for name in (PLAIN, SETTLING)]
    pooled = found.pooled["pooled, all problems"]
    return [*text, f"Pooled over all problems the same correlation is {pooled:+.2f}, difficulty included."]


def _versus(other: str, difference: Interval, verdicts: Verdicts) -> str:
    """Better, worse, or neither shown with the smallest difference that would have been; in percentage points."""
    if verdicts.different(difference):
        verdict, why = "better" if difference.estimate > 0 else "worse", f"p = {verdicts.p(difference):.2g}"
    else:
        verdict, why = "not measurably better or worse", would_find(difference, verdicts)
    return f"{verdict} than {other} ({difference * 100:+z.1f} points; {why})"


def would_find(difference: Interval, verdicts: Verdicts) -> str:
    """The smallest difference that a test without result would have found, in percentage points."""
    if not verdicts.detectable(difference) > 0:
        return "the same on every puzzle"
    return f"{detectable_words(verdicts.detectable(difference), 100)} would be found 4 times in 5"


def _correlation(name: str, mean: Interval, verdicts: Verdicts) -> str:
    if mean.n < MIN_MIXED:
        return f"Q and stability {name}: {mean.n} mixed problems are too few to say whether they correlate."
    if verdicts.different(mean):
        verdict = f"they correlate (p = {verdicts.p(mean):.2g})"
    elif isnan(verdicts.p(mean)):
        verdict = "the same in every problem, which leaves no spread to judge it by"
    else:
        found = detectable_words(verdicts.detectable(mean))
        verdict = f"no correlation is shown ({found} would be found 4 times in 5)"
    return f"Q and stability {name}: {verdict}, {mean:+.2f} on average over {mean.n} mixed problems."


def percent(value: Interval) -> str:
    return f"{100 * value.estimate:.1f} % [{100 * value.low:.1f}, {100 * value.high:.1f}]"


def tables(found: Found) -> dict[str, list[str]]:
    """Lines of the tables, by title."""
    after, shown = found.after, {}
    counts = sorted({row.k for row in found.table})
    lines = []
    for name in dict.fromkeys(row.selector for row in found.table):
        of_name = {row.k: row for row in found.table if row.selector == name}
        last = of_name[counts[-1]]
        line = {"selector": name} | {f"K = {k}": f"{of_name[k].accuracy * 100:z.1f}" for k in counts}
        line |= {"short of oracle": f"{last.gap * 100:z.1f}", "over random": f"{last.over_random * 100:+z.1f}"}
        line |= {"over majority": f"{last.over_majority * 100:+z.1f}"}
        if found.calls_per_segment:
            calls = found.calls(last)
            line |= {"calls": f"{calls:.0f}" if calls.low < calls.high else f"{calls.estimate:.0f}"}
        if any(row.alone for row in found.table):
            line |= {"one rollout of these calls": f"{last.alone * 100:z.1f}" if last.alone else ""}
        lines.append(line)
    title = f"puzzles solved {after}, %; differences in points and calls a puzzle at K = {counts[-1]}"
    shown[title] = [f"without noise, one rollout: {found.clean * 100:z.1f}", *table(lines), *_notes(found)]
    if found.stopped:
        lines = [{"selector": rule.selector, "rollouts that stop, %": f"{rule.share * 100:z.1f}",
                  "mean segment": f"{rule.segment:.1f}",
                  "right then, %": f"{rule.right * 100:z.1f}" if rule.right else ""}
                 for rule in found.stopped]  # fmt: skip
        shown[f"rollouts that stop by themselves, {after}"] = table(lines)
    if q := found.calibration:
        lines = [{"Q says": f"{each.predicted:.3f}", "solved": f"{each.observed:.3f}", "rollouts": str(each.rollouts)}
                 for each in q.bins]  # fmt: skip
        parts = f"reliability {q.reliability:.4f}, resolution {q.resolution:.4f}, uncertainty {q.uncertainty:.4f}"
        brier = f"Brier {q.brier:.4f}: {parts}, within bins {q.within_bins:+.4f} (parts and bins without interval)"
        shown[f"calibration of Q {after}"] = [brier, *table(lines)]
    if found.pooled:
        values = {name: mean for name, (_, mean) in found.within.items()} | found.pooled
        lines = [{"Q and stability": name, "rank correlation": f"{value:+.3f}", "problems": str(value.n)}
                 for name, value in values.items()]  # fmt: skip
        shown[f"rank correlations {after}, {found.mixed} mixed problems"] = table(lines)
    return shown


def _notes(found: Found) -> list[str]:
    """What the columns of calls count."""
    notes = []
    if found.calls_per_segment:
        notes.append("calls: all rollouts to the end or to the first that stops, and what residual and stability take")
    if any(row.alone for row in found.table):
        notes.append("one rollout of these calls: without noise, and without what residual and stability take")
    return notes


def metrics(found: Found) -> dict[str, float]:
    """All numbers of the tables as metrics."""
    at = found.name
    named = interval_metrics(f"accuracy/{at}/clean", found.clean) | {f"mixed_problems/{at}": float(found.mixed)}
    for row in found.table:
        of_row = f"{at}/K_{row.k}/{row.selector}"
        named |= interval_metrics(f"accuracy/{of_row}", row.accuracy) | interval_metrics(f"gap/{of_row}", row.gap)
        named |= interval_metrics(f"over_majority/{of_row}", row.over_majority)
        if found.calls_per_segment:
            named |= interval_metrics(f"calls/{of_row}", found.calls(row))
        if row.alone:
            named |= interval_metrics(f"one_rollout_of_these_calls/{of_row}", row.alone)
    for rule in found.stopped:
        named |= interval_metrics(f"stops/{at}/{rule.selector}", rule.share)
        if rule.right:
            named |= interval_metrics(f"right_at_stop/{at}/{rule.selector}", rule.right)
    if q := found.calibration:
        named |= interval_metrics(f"calibration/{at}/brier", q.brier)
        named |= {f"calibration/{at}/{part}": getattr(q, part) for part in ("reliability", "resolution", "uncertainty")}
    for name, value in ({name: mean for name, (_, mean) in found.within.items()} | found.pooled).items():
        named |= interval_metrics(f"rank_correlation/{at}/{name}", value)
    return named


def figure(found: Found) -> Figure:
    """Fig. 4."""
    label = found.label + (f", {found.counted}" if found.counted else "")
    return selection_figure(label, found.table, found.depth, found.clean, found.calibration, found.within, found.pooled)
