"""Claims on grokking: what it needs, what announces it, and what does not depend on how fast a run learns."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from math import log, nan

import numpy as np

from rrm.reports.claims.claim import Claim
from rrm.reports.claims.evidence import Evidence
from rrm.statistics.events import TEST_ACCURACY, TEST_LOSS, turn, value_at
from rrm.statistics.histories import WEIGHT_NORM
from rrm.statistics.training_runs import TrainingRun

# Arms of networks on modular arithmetic. The last two have a gate a layer.
DECAY, NO_DECAY, SLOW = "weight decay", "no weight decay", "a third of the learning rate"
FREE, PRICED = "free depth", "priced depth"

ACTION, CURVATURE, DEPTH = "probe/path/kinetic_action", "probe/hessian/trace", "gates/effective_depth"

Runs = Mapping[str, TrainingRun]


def decay_is_needed(runs: Runs) -> float:
    """1 where the run with decay groks and the one without does not, 0 where both do or neither, -1 else."""
    return float(runs[DECAY].grokked) - float(runs[NO_DECAY].grokked)


def action_stays(runs: Runs) -> float:
    """1 - |ln ratio of the actions until grokking| / ln ratio of its steps, of a slow run over a fast one.

    0 where the steps differ by less than a factor of 2, so that there is no change for the action to lack; nan where
    one of the two does not grok.
    """
    fast, slow = runs[DECAY], runs[SLOW]
    begin, end = fast.events.grokked, slow.events.grokked
    if begin is None or end is None:
        return nan
    change = log(end / begin)
    if change < log(2):
        return 0.0
    return 1 - abs(log(value_at(*slow.curves[ACTION], end) / value_at(*fast.curves[ACTION], begin))) / change


def norm_turns_first(runs: Runs) -> float:
    """Share of the steps from memorisation to grokking by which the turn of the weight norm is before the rise of test
    accuracy; 0 where the norm goes one way. nan where the run has no such steps.
    """
    run, events = runs[DECAY], runs[DECAY].events
    if events.memorised is None or events.grokked is None or events.rising is None:
        return nan
    delay = events.grokked - events.memorised
    found = turn(*run.curves[WEIGHT_NORM], events.memorised, events.grokked, delay // 20)
    return (events.rising - found[0]) / delay if found and found[1] == "maximum" else 0.0


def curvature_is_done(runs: Runs) -> float:
    """Share of the fall of ln curvature, from its largest value to grokking, before test accuracy rises.

    nan where the run does not grok, and where curvature does not fall.
    """
    run, events = runs[DECAY], runs[DECAY].events
    if events.memorised is None or events.grokked is None or events.rising is None:
        return nan
    steps, values = run.curves[CURVATURE]
    # One draw of the trace may be negative, and is noisy.
    known = (values > 0) & (steps >= events.memorised) & (steps <= events.grokked)
    if np.count_nonzero(known) < 3:
        return nan
    steps, logs = steps[known], np.log(values[known])
    width = (events.grokked - events.memorised) / 10
    smooth = np.array([np.median(logs[np.abs(steps - step) <= width / 2]) for step in steps])
    fall = smooth.max() - smooth[-1]
    return float((smooth.max() - value_at(steps, smooth, events.rising)) / fall) if fall > 0 else nan


def price_lowers_depth(runs: Runs) -> float:
    """Effective depth at the step of grokking without a price minus that with it, in layers.

    Both know the same share of the test pairs at these steps; at the last steps a run may be in a slingshot. nan where
    one of the two does not grok.
    """
    free, priced = runs[FREE], runs[PRICED]
    if free.events.grokked is None or priced.events.grokked is None:
        return nan
    return value_at(*free.curves[DEPTH], free.events.grokked) - value_at(*priced.curves[DEPTH], priced.events.grokked)


def by_seed(measure: Callable[[Runs], float], *arms: str) -> Callable[[Evidence], Mapping[int, float]]:
    """A measure of the runs of a seed, of the seeds that have all arms, as an effect."""
    return lambda found: {
        seed: measure(runs) for seed, runs in found.grokking.items() if all(arm in runs for arm in arms)
    }


# Controls: the same runs without what is claimed of them.


def _changed(change: Callable[[Runs], Runs], found: Evidence) -> Evidence:
    return replace(found, grokking={seed: change(runs) for seed, runs in found.grokking.items()})


def instead(arm: str, stand_in: str) -> Callable[[Evidence], Evidence]:
    """Another arm's run in the place of one."""
    return partial(_changed, lambda runs: {**runs, arm: runs[stand_in]} if stand_in in runs else runs)


def with_series(name: str, source: str, series: str) -> Callable[[Evidence], Evidence]:
    """A series of the run with decay replaced by one of `source`."""

    def change(runs: Runs) -> Runs:
        if source not in runs or DECAY not in runs:
            return runs
        curves = {**runs[DECAY].curves, name: runs[source].curves[series]}
        return {**runs, DECAY: replace(runs[DECAY], curves=curves)}

    return partial(_changed, change)


def clocked(found: Evidence) -> Evidence:
    """The step itself in the place of the action."""

    def change(run: TrainingRun) -> TrainingRun:
        steps = run.curves[TEST_ACCURACY][0]
        return replace(run, curves={**run.curves, ACTION: (steps, steps.astype(float))})

    return _changed(lambda runs: {arm: change(run) for arm, run in runs.items()}, found)


GROKKING = (
    Claim(
        name="grokking/decay_is_needed",
        words="addition mod 31: grokking needs weight decay",
        test="share of runs that grok with decay minus that without",
        evidence="grokking",
        effect=by_seed(decay_is_needed, DECAY, NO_DECAY),
        smallest=0.5,
        control=instead(NO_DECAY, DECAY),
        unit="points",
    ),
    Claim(
        name="grokking/action_stays",
        words="addition mod 31: the step of grokking depends on the learning rate, its kinetic action does not",
        test="1 - |ln ratio of the actions until grokking| / ln ratio of its steps, at a third of the learning rate",
        evidence="grokking",
        effect=by_seed(action_stays, DECAY, SLOW),
        smallest=0.9,
        control=clocked,
        unit="%",
    ),
    Claim(
        name="grokking/norm_turns_first",
        words="addition mod 31: the weight norm turns before test accuracy rises",
        test="lead of the turn of the weight norm, as a share of the steps from memorisation to grokking",
        evidence="grokking",
        effect=by_seed(norm_turns_first, DECAY, NO_DECAY),
        smallest=0.1,
        control=with_series(WEIGHT_NORM, NO_DECAY, WEIGHT_NORM),
        unit="%",
    ),
    Claim(
        name="grokking/curvature_is_done",
        words="addition mod 31: curvature does not date grokking, it has fallen before",
        test="share of the fall of the ln Hessian trace before test accuracy rises",
        evidence="grokking",
        effect=by_seed(curvature_is_done, DECAY),
        smallest=0.2,
        null=0.5,
        control=with_series(CURVATURE, DECAY, TEST_LOSS),
        unit="%",
    ),
    Claim(
        name="grokking/price_lowers_depth",
        words="addition mod 31: a price on computation lowers effective depth at equal accuracy",
        test="effective depth at grokking without a price minus that with it",
        evidence="grokking",
        effect=by_seed(price_lowers_depth, FREE, PRICED),
        smallest=0.25,
        control=instead(PRICED, FREE),
        unit="layers",
    ),
)
