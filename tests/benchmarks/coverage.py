"""How often the 95 % intervals of rrm.statistics hold the truth: nominal against actual, by simulation.

    python tests/benchmarks/coverage.py [--samples 1000] [--only auc]

One row an interval and a situation of which the truth is known, one column a number of units (puzzles; seeds or
problems where the row says so). With 1,000 samples a coverage of 95 % is known to 1.4 points (two standard errors). A
number in brackets is the share of the samples in which the interval is undefined, such as AUCs without one of the
classes; these samples are left out. An interval is too narrow where it covers less than 93 %, and wider than it says
where it covers more than 98 %; exact intervals of counts do the latter by design.
"""

import argparse
import math
from collections.abc import Callable

import numpy as np
from scipy.stats import norm

from rrm.statistics import Interval, escape_probability, kaplan_meier, wilson_interval
from rrm.statistics.auc_interval import auc_difference_interval, auc_interval
from rrm.statistics.calibration import calibration
from rrm.statistics.hypotheses import mean_over_seeds
from rrm.statistics.ladder import ladder
from rrm.statistics.matched import stop_time_matched_auc, stratified_auc
from rrm.statistics.means import mean_interval, median_interval, positive_mean_interval
from rrm.statistics.proportions import clustered_wilson_interval, newcombe_interval, paired_newcombe_interval
from rrm.statistics.selection import selection
from rrm.statistics.within_problem import pooled_correlation

SIZES = (3, 5, 10, 50, 500)
Case = Callable[[np.random.Generator, int], tuple[Interval, float]]
CASES: dict[str, Case] = {}


def case(name: str) -> Callable[[Case], Case]:
    """Register a situation: a function that draws one sample and returns its interval and the truth."""
    return lambda function: CASES.setdefault(name, function)


def two_classes(rng: np.random.Generator, n: int, truth: float, failed: float) -> tuple[np.ndarray, np.ndarray]:
    """Normal scores [n] with this AUC in the population, and a fixed share of failed puzzles."""
    positive = np.arange(n) < max(1, round(failed * n))
    return rng.normal(math.sqrt(2) * norm.ppf(truth) * positive), positive


@case("mean, normal")
def _(rng, n):
    return mean_interval(rng.normal(size=n)), 0.0


@case("mean, exponential")
def _(rng, n):
    return mean_interval(rng.exponential(size=n)), 1.0


@case("mean over seeds, one arm in three collapses")
def _(rng, n):
    return mean_over_seeds(rng.normal(0, 0.02, n) - 0.6 * (rng.random(n) < 0.3)), -0.18


@case("mean log-loss, gamma of shape 1/2")
def _(rng, n):
    return positive_mean_interval(rng.gamma(0.5, 1, n)), 0.5


@case("median, exponential")
def _(rng, n):
    return median_interval(rng.exponential(size=n)), math.log(2)


@case("share, 70 %")
def _(rng, n):
    return wilson_interval(rng.binomial(n, 0.7), n), 0.7


@case("share, 98 %")
def _(rng, n):
    return wilson_interval(rng.binomial(n, 0.98), n), 0.98


@case("share of 4 rollouts a puzzle, half decided by the puzzle")
def _(rng, n):
    of_puzzle = rng.binomial(4, rng.choice([0.25, 0.95], n)) / 4
    return clustered_wilson_interval(of_puzzle.mean(), of_puzzle.var(ddof=1) / n, n), 0.6


@case("difference of shares, independent")
def _(rng, n):
    return newcombe_interval(rng.binomial(n, 0.8), n, rng.binomial(n, 0.6), n), 0.2


@case("difference of shares, same puzzles")
def _(rng, n):
    ease = rng.normal(size=n)
    a, b = (ease + rng.normal(size=n) < math.sqrt(2) * norm.ppf(p) for p in (0.8, 0.6))
    return paired_newcombe_interval(a, b), 0.2


def _auc_case(truth: float, failed: float) -> None:
    @case(f"AUC {truth:g}, {failed:.0%} failed")
    def _(rng, n):
        return auc_interval(*two_classes(rng, n, truth, failed)), truth


for _truth in (0.5, 0.76, 0.95, 0.99, 0.999):
    for _failed in (0.5, 0.1):
        _auc_case(_truth, _failed)


@case("difference of AUCs, .95 and a noisier copy, 30 % failed")
def _(rng, n):
    score, failed = two_classes(rng, n, 0.95, 0.3)
    truth = 0.95 - norm.cdf(norm.ppf(0.95) / math.sqrt(2))
    return auc_difference_interval(score, score + rng.normal(size=n), failed), truth


@case("difference of AUCs, .95 and .95, independent, 30 % failed")
def _(rng, n):
    score, failed = two_classes(rng, n, 0.95, 0.3)
    return auc_difference_interval(score, two_classes(rng, n, 0.95, 0.3)[0], failed), 0.0


@case("AUC within strata, .69 in each of 6")
def _(rng, n):
    strata = rng.integers(6, size=n)
    failed = rng.random(n) < 0.1 + 0.1 * strata
    return stratified_auc(rng.normal(0.7 * failed + strata), failed, strata), norm.cdf(0.7 / math.sqrt(2))


@case("AUC at the same stopping time, .76, exponents that last")
def _(rng, n):
    failed, stop = np.arange(n) < max(1, n // 3), rng.integers(3, 9, n)
    stop[failed] = 9
    exponent = np.repeat(rng.normal(failed), 8).reshape(n, 8)
    return stop_time_matched_auc(exponent, failed, stop), norm.cdf(1 / math.sqrt(2))


@case("chance to escape in a segment, 5 %, seen for 16")
def _(rng, n):
    time = rng.geometric(0.05, n)
    return escape_probability(np.minimum(time, 16), time <= 16), 0.05


@case("chance to escape in a segment, 40 %, seen for 16")
def _(rng, n):
    time = rng.geometric(0.4, n)
    return escape_probability(np.minimum(time, 16), time <= 16), 0.4


@case("Kaplan-Meier at segment 5, chance 10 %")
def _(rng, n):
    time, seen = rng.geometric(0.1, n), rng.integers(3, 17, n)
    curve = kaplan_meier(np.minimum(time, seen), time <= seen)
    place = np.searchsorted(curve.time, 5, side="right") - 1
    if place < 0 or curve.time[-1] < 5:
        return Interval(math.nan, math.nan, math.nan, 0.95, n), 0.9**5
    return Interval(curve.survival[place], curve.low[place], curve.high[place], 0.95, n), 0.9**5


@case("Brier score of 4 rollouts a puzzle")
def _(rng, n):
    p = np.repeat(rng.random(n), 4).reshape(n, 4)
    return calibration(p, rng.random((n, 4)) < p).brier, 1 / 6


@case("selector against random, 4 rollouts")
def _(rng, n):
    solved = rng.random((n, 4)) < 0.5
    table = selection(solved, np.where(solved, 0, rng.integers(1, 9, (n, 4))), {"coin": rng.random((n, 4))}, [4])
    return next(row.over_random for row in table if row.selector == "coin"), 0.0


@case("pooled rank correlation of problems, 16 rollouts")
def _(rng, n):
    level = rng.normal(size=(n, 1))
    x, y = (2 * level + rng.normal(size=(n, 16)) for _ in range(2))
    return pooled_correlation(x, y), 6 / math.pi * math.asin(0.8 / 2)


def _gain_case(strength: float) -> None:
    @case(f"gain in log-loss of a score {strength:g} SD apart (mean gain; a tenth of the samples)")
    def _(rng, n):
        failed = np.arange(n) < 0.3 * n
        found = ladder({"known": rng.normal(2.0 * failed)}, {"score": rng.normal(strength * failed)}, failed)
        return found.steps[0].gain if found else Interval(math.nan, math.nan, math.nan, 0.95, n), math.nan


for _strength in (0.0, 1.0):
    _gain_case(_strength)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--only", default="", help="rows with this in their name")
    args = parser.parse_args()
    names = [name for name in CASES if args.only in name]
    width = max(map(len, names))
    print(f"coverage of 95 % intervals, {args.samples} samples each")
    print(" " * width, *(f"{f'n = {n}':>13}" for n in SIZES))
    for name in names:
        samples = args.samples // 10 if "tenth" in name else args.samples
        print(f"{name:{width}}", *(f"{covered(CASES[name], n, samples):>13}" for n in SIZES), flush=True)


def covered(of_case: Case, n: int, samples: int) -> str:
    """Share of the samples whose interval holds the truth, and in brackets the share that has none.

    Where the truth is nan the mean of all estimates stands for it.
    """
    rng = np.random.default_rng(n)
    found = [of_case(rng, n) for _ in range(samples)]
    known = [(interval, truth) for interval, truth in found if not math.isnan(interval.low)]
    mean = np.mean([interval.estimate for interval, _ in known]) if known else math.nan
    held = [(mean if math.isnan(truth) else truth) in interval for interval, truth in known]
    undefined = 1 - len(held) / samples
    return (f"{np.mean(held):.3f}" if held else "") + (f" ({undefined:.0%})" if undefined else "")


if __name__ == "__main__":
    main()
