import math

import numpy as np
import pytest

from rrm.statistics.events import find_events
from rrm.statistics.grok_times import LEAST_SEEDS, GrokTimes, compare_times, grok_table, grok_times


def arm(name, grokked, never=(), budget=7700):
    seeds = range(len(grokked) + len(never))
    return GrokTimes(name, dict(zip(seeds, grokked, strict=False)), {len(grokked) + i: budget for i in never})


# Fault 7 of an earlier system: one seed, and runs that never grok left out.
def test_runs_that_never_grok_are_censored_and_not_dropped():
    times = arm("wd 1", [2475, 2900, 2825])
    assert times.median == 2825 and times.range_words == "2475 to 2900"
    assert times.words() == "wd 1: 3 of 3 runs grok, median step 2825 (2475 to 2900)"
    control = arm("wd 0", [], range(3))
    assert control.median == math.inf and control.words() == "wd 0: 0 of 3 runs grok within 7700 steps"
    mixed = arm("wd .1", [3000], range(2))
    assert mixed.median_words == "> 7700" and mixed.range_words == "3000 to > 7700"
    # Of four runs of which one never groks, half have grokked at the second step.
    assert arm("wd .5", [1000, 2000, 3000], range(1)).median == 2000
    assert [row["grok"] for row in grok_table([times, control])] == ["3 of 3", "0 of 3"]


# Fault 7 of an earlier system: verdicts from one seed.
def test_fewer_than_five_seeds_give_no_verdict():
    (few,) = compare_times([(arm("a", [100, 110, 120, 130]), arm("b", [], range(4)))])
    assert few.p < 0.05 and math.isnan(few.p_holm)
    assert few.sentence().startswith("a against b: no verdict from 4 seeds, it takes 5 of each.")
    assert "b > 7700 (> 7700; 0 of 4)" in few.sentence()
    (enough,) = compare_times([(arm("a", [100, 110, 120, 130, 140]), arm("b", [], range(LEAST_SEEDS)))])
    assert enough.sentence().startswith("a against b: the first groks sooner (p = 0.00")
    alike = compare_times([(arm("a", [100, 300, 500, 700, 900]), arm("b", [200, 310, 490, 680, 950]))])
    assert "no difference is shown" in alike[0].sentence()
    (none,) = compare_times([(arm("a", [], range(5)), arm("b", [], range(5)))])
    assert "nothing to compare" in none.sentence()


def test_the_logrank_test_by_hand():
    """Times 1, 2 against 3, 4: observed 2, expected 1/2 + 1/3, variance 1/4 + 2/9."""
    (found,) = compare_times([(arm("a", [1, 2]), arm("b", [3, 4]))])
    z = (2 - 5 / 6) / math.sqrt(1 / 4 + 2 / 9)
    assert found.p == pytest.approx(math.erfc(z / math.sqrt(2)))


def test_times_from_events():
    def run(at):
        steps = np.arange(0, 1001, 50)
        return find_events({"train/accuracy": (steps, np.ones(21)), "test/accuracy": (steps, 1.0 * (steps >= at))})

    found = grok_times({("wd 1", 0): run(300), ("wd 1", 1): run(400), ("wd 0", 0): run(5000)})
    assert [times.arm for times in found] == ["wd 1", "wd 0"]
    assert found[0].grokked == {0: 300, 1: 400} and found[1].censored == {0: 1000}
    assert found[0].memorised == {0: 0, 1: 0}
