"""How large a gain in log-loss a comparison without result would have found."""

import numpy as np
from scipy.special import expit, logit
from scipy.stats import t as student

from rrm.statistics.logistic import log_loss

# Samples of a score for the power at one strength, and halvings of the range of strengths.
_DRAWS, _HALVINGS = 50, 12
# Standard deviations by which a score can differ between the outcomes, at most.
_STRONGEST = 8.0
_POWER = 0.8
# Probabilities that no sample can tell from 0 or 1.
_EDGE = 1e-6


def detectable_gain(
    below: np.ndarray, failed: np.ndarray, null_gain: float = 0.0, null_sd: float = 0.0, level: float = 0.95
) -> tuple[float, float]:
    """The weakest independent score whose gain over the probabilities `below` is found with a power of 80 %.

    The score is normal with a standard deviation of 1 and lies d higher for failed puzzles, whatever is known of them
    already. Bayes' rule then gives the best model with the score, and the gain of that model as a function of d. That a
    fit has to find this model costs about a nat over all puzzles together, which is left out.

    Args:
        below: [N] held-out probabilities of "failed" without the score.
        failed: [N] booleans.
        null_gain, null_sd: gain of the null and its standard deviation; the gain has to exceed both 0 and the null's.
        level: one minus the two-sided error of the test.

    Returns:
        d, and the mean gain in nats per puzzle; nan where even a score that tells the outcomes apart is not found.
    """
    rng = np.random.default_rng(0)
    known = logit(np.clip(below, _EDGE, 1 - _EDGE))
    noise = rng.standard_normal((_DRAWS, failed.size))
    loss = log_loss(expit(known), failed)
    critical = student.ppf((1 + level) / 2, failed.size - 1)

    def gains(d: float) -> tuple[float, float]:
        """Mean gain at strength d, and the share of the samples in which the gain is found."""
        evidence = d * (d * failed + noise) - d**2 / 2
        gain = loss - log_loss(expit(known + evidence), failed)
        mean, variance = gain.mean(1), gain.var(1, ddof=1) / failed.size
        found = (mean > critical * np.sqrt(variance)) & (mean - null_gain > critical * np.sqrt(variance + null_sd**2))
        return float(mean.mean()), float(found.mean())

    low, high = 0.0, _STRONGEST
    if gains(high)[1] < _POWER:
        return float("nan"), float("nan")
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if gains(middle)[1] >= _POWER else (middle, high)
    return high, gains(high)[0]
