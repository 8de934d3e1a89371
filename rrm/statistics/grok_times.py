"""Steps until runs grok, by arm: runs that never do are censored at their last step, and few seeds give no verdict.

The step of grokking is heavy-tailed over seeds, so that medians and ranges are told, and curves of Kaplan and Meier are
compared by the logrank test (Mantel, Cancer Chemother. Rep. 50 (1966) 163).
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy.stats import CensoredData, logrank

from rrm.statistics.events import Events
from rrm.statistics.hypotheses import LEVEL, holm
from rrm.statistics.survival import Survival, kaplan_meier, median_time

# Seeds of each arm without which no verdict is given.
LEAST_SEEDS = 5


@dataclass(frozen=True)
class GrokTimes:
    """Steps until the runs of one arm grok.

    Attributes:
        arm: its name.
        grokked: step by seed, of the runs that have grokked.
        censored: last step by seed, of the runs that have not.
        memorised: step by seed, of the runs that have memorised.
    """

    arm: str
    grokked: dict[int, int] = field(default_factory=dict)
    censored: dict[int, int] = field(default_factory=dict)
    memorised: dict[int, int] = field(default_factory=dict)

    @property
    def n(self) -> int:
        """Number of runs."""
        return len(self.grokked) + len(self.censored)

    @property
    def curve(self) -> Survival:
        """Share of runs that have not grokked, against steps."""
        times = [*self.grokked.values(), *self.censored.values()]
        # A run that groks before its first step has grokked within it.
        return kaplan_meier(np.maximum(times, 1), [True] * len(self.grokked) + [False] * len(self.censored))

    @property
    def median(self) -> float:
        """Median step; infinite where half of the runs have not grokked."""
        return median_time(self.curve).estimate

    @property
    def median_words(self) -> str:
        """ "2825", or "> 7700" where half of the runs have not grokked by their last step."""
        return f"{self.median:.0f}" if math.isfinite(self.median) else f"> {self.curve.time[-1]:.0f}"

    @property
    def range_words(self) -> str:
        """ "2475 to 2900"; its end is "> 7700" where a run has not grokked, and one number where there is one run."""
        if not self.grokked:
            return f"> {min(self.censored.values())}"
        first, last = min(self.grokked.values()), f"{max(self.grokked.values())}"
        last = f"> {max(self.censored.values())}" if self.censored else last
        return f"{first}" if str(first) == last else f"{first} to {last}"

    def words(self) -> str:
        """The arm in one line."""
        found = f"{self.arm}: {len(self.grokked)} of {self.n} runs grok"
        if not self.grokked:
            return f"{found} within {min(self.censored.values())} steps"
        return f"{found}, median step {self.median_words} ({self.range_words})"


@dataclass(frozen=True)
class TimeComparison:
    """Two arms.

    Attributes:
        one, other: their times.
        p: of the logrank test; nan where no run of either has grokked.
        p_holm: after Holm's correction over all comparisons with a p-value and enough seeds; nan with fewer seeds.
    """

    one: GrokTimes
    other: GrokTimes
    p: float
    p_holm: float

    @property
    def enough(self) -> bool:
        """Whether both arms have enough seeds for a verdict."""
        return min(self.one.n, self.other.n) >= LEAST_SEEDS

    def sentence(self) -> str:
        """The verdict, and medians with ranges."""
        numbers = "; ".join(
            f"{times.arm} {times.median_words} ({times.range_words}; {len(times.grokked)} of {times.n})"
            for times in (self.one, self.other)
        )
        return f"{self._verdict()}. Median step of grokking (range; runs that grok): {numbers}."

    def _verdict(self) -> str:
        names = f"{self.one.arm} against {self.other.arm}"
        if not self.enough:
            seeds = min(self.one.n, self.other.n)
            return f"{names}: no verdict from {seeds} seed{'s' * (seeds > 1)}, it takes {LEAST_SEEDS} of each"
        if math.isnan(self.p_holm):
            return f"{names}: nothing to compare, no run groks"
        if self.p_holm >= LEVEL:
            return f"{names}: no difference is shown (p = {self.p_holm:.2g})"
        order = "sooner" if self.one.median < self.other.median else "later"
        return f"{names}: the first groks {order} (p = {self.p_holm:.2g})"


def grok_times(events: Mapping[tuple[str, int], Events]) -> list[GrokTimes]:
    """The times of every arm, from the events of runs by (arm, seed), in the order of the arms."""
    arms: dict[str, GrokTimes] = {}
    for (arm, seed), found in events.items():
        times = arms.setdefault(arm, GrokTimes(arm))
        if found.grokked is None:
            times.censored[seed] = found.last
        else:
            times.grokked[seed] = found.grokked
        if found.memorised is not None:
            times.memorised[seed] = found.memorised
    return list(arms.values())


def compare_times(pairs: Iterable[tuple[GrokTimes, GrokTimes]]) -> list[TimeComparison]:
    """All comparisons of a report, corrected together."""
    compared = [(one, other, _logrank(one, other)) for one, other in pairs]
    tested = [p if min(one.n, other.n) >= LEAST_SEEDS else math.nan for one, other, p in compared]
    return [
        TimeComparison(one, other, p, corrected)
        for (one, other, p), corrected in zip(compared, holm(tested).tolist(), strict=True)
    ]


def grok_table(arms: Iterable[GrokTimes]) -> list[dict[str, str]]:
    """Rows of a table: a line an arm."""
    return [
        {
            "arm": times.arm,
            "seeds": str(times.n),
            "memorised": f"{np.median(list(times.memorised.values())):.0f}" if times.memorised else "never",
            "grok": f"{len(times.grokked)} of {times.n}",
            "median step": times.median_words,
            "range": times.range_words,
        }
        for times in arms
    ]


def _logrank(one: GrokTimes, other: GrokTimes) -> float:
    if not one.grokked and not other.grokked:
        return math.nan
    samples = [
        CensoredData(uncensored=list(times.grokked.values()), right=list(times.censored.values()))
        for times in (one, other)
    ]
    return float(logrank(*samples).pvalue)
