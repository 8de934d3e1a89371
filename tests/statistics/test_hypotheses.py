import math

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from rrm.statistics.hypotheses import Verdicts, detectable, detectable_words, holm, noncentrality, p_value, paired_t
from rrm.statistics.means import mean_interval, undefined_interval


def test_paired_t_row_by_row():
    differences = np.random.default_rng(0).normal(0.3, 1, (4, 5, 3))
    mean, margin, p = paired_t(differences)
    for at in np.ndindex(4, 5):
        known = ttest_1samp(differences[at], 0)
        ends = known.confidence_interval(0.95)
        assert (mean[at] - margin[at], mean[at] + margin[at], p[at]) == pytest.approx((*ends, known.pvalue))


@pytest.mark.filterwarnings("error")
def test_without_spread_nothing_is_known():
    mean, margin, p = paired_t([[0.05, 0.05, 0.05], [0.15 - 0.1, 0.25 - 0.2, 0.05], [0.1, 0.2, 0.3]])
    assert mean == pytest.approx([0.05, 0.05, 0.2])
    assert np.isnan(margin).tolist() == np.isnan(p).tolist() == [True, True, False]
    assert np.isnan(paired_t([0.3])[1:]).all()
    for mean in (mean_interval([0.15 - 0.1, 0.25 - 0.2, 0.05]), undefined_interval(1)):
        assert math.isnan(p_value(mean)) and math.isnan(detectable(mean))


def test_the_p_value_of_an_interval_is_that_of_its_test():
    for n in (2, 3, 40):
        x = np.random.default_rng(n).normal(0.5, 1, n)
        assert p_value(mean_interval(x)) == pytest.approx(ttest_1samp(x, 0).pvalue)
        assert p_value(mean_interval(x, 0.8)) == pytest.approx(ttest_1samp(x, 0).pvalue)


def test_holm_by_hand():
    # Sorted .005 x 4, .01 x 3, .03 x 2, .04 x 1, each raised to the one before it.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.01, np.nan, 0.04]) == pytest.approx([0.02, np.nan, 0.04], nan_ok=True)


def test_what_would_be_found():
    # R: power.t.test(delta = .5, sd = 1, power = .8, type = "paired") gives n = 33.37.
    assert noncentrality(34) / math.sqrt(34) < 0.5 < noncentrality(33) / math.sqrt(33)
    rng = np.random.default_rng(0)
    for n in (2, 3, 5):
        mean, margin, p = paired_t(rng.normal(noncentrality(n) / math.sqrt(n), 1, (100_000, n)))
        assert np.mean(mean > margin) == pytest.approx(0.8, abs=4 * math.sqrt(0.16 / 100_000))
    _, _, p = paired_t(rng.normal(noncentrality(5, level=1 - 0.05 / 36) / math.sqrt(5), 1, (100_000, 5)))
    assert np.mean(p < 0.05 / 36) == pytest.approx(0.8, abs=4 * math.sqrt(0.16 / 100_000))
    x = mean_interval([0.02, 0.04, 0.06])
    assert detectable(x) == pytest.approx(0.02 * noncentrality(3) / math.sqrt(3)) and detectable(x, 2) > detectable(x)


def test_nobody_would_find_more_than_there_can_be():
    assert detectable_words(0.0123, 100, " points") == "about 1.2 points"
    assert detectable_words(0.999, 100) == "about 100"
    assert detectable_words(1.4) == detectable_words(1.2, 100, " points") == "no possible difference"


def test_verdicts_are_corrected_together():
    rng = np.random.default_rng(4)
    strong, weak, none = (mean_interval(rng.normal(shift, 1, 40)) for shift in (1, 0.45, 0))
    assert p_value(weak) < 0.05  # alone it would be called different
    verdicts = Verdicts([strong, weak, none, mean_interval([0.5, 0.5]), undefined_interval(0)])
    assert verdicts.tests == 3
    assert [verdicts.p(mean) for mean in (strong, weak, none)] == pytest.approx(
        holm([p_value(mean) for mean in (strong, weak, none)])
    )
    crowd = Verdicts([weak, *(mean_interval(rng.normal(size=40)) for _ in range(20))])
    assert verdicts.different(strong) and not crowd.different(weak) and not crowd.different(undefined_interval(0))
    assert crowd.detectable(weak) == detectable(weak, tests=21)


def test_without_an_effect_few_studies_claim_one():
    # Arms share the baseline of their study, as they do in a sweep.
    rng = np.random.default_rng(1)
    studies, arms, seeds = 4000, 5, 3
    differences = rng.normal(size=(studies, arms, seeds)) - rng.normal(size=(studies, 1, seeds))
    _, _, p = paired_t(differences)
    allowed = 0.05 + 3 * math.sqrt(0.05 * 0.95 / studies)
    assert np.mean((holm(p) < 0.05).any(-1)) <= allowed
    assert np.mean((p < 0.05).any(-1)) > allowed  # what the correction is for
    assert np.mean(p < 0.05) == pytest.approx(0.05, abs=0.01)
