"""How large a gain in log-loss a comparison without result would have found."""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit
from scipy.stats import chi2
from scipy.stats import t as student

from rrm.statistics.logistic import log_loss

# Nats that one useless coefficient gains in sample in 5 % of samples (likelihood ratio test). A smaller gain over all
# puzzles together is numerical, however narrow its interval: penalties are found to a tolerance.
MEASURABLE = chi2.ppf(0.95, 1) / 2
# Samples of a score for the power at one strength, and halvings of the range of strengths.
_DRAWS, _HALVINGS = 50, 12
# Standard deviations by which a score can differ between the outcomes, at most.
_STRONGEST = 8.0
_POWER = 0.8
# Probabilities that no sample can tell from 0 or 1.
_EDGE = 1e-6


@dataclass(frozen=True)
class Null:
    """The gain of a null: mean over its draws, standard deviation of one more draw about that mean, number of draws."""

    gain: float = 0.0
    sd: float = 0.0
    draws: int = 2

    @classmethod
    def of_draws(cls, gains: np.ndarray) -> "Null":
        """From the gains [draws], two or more."""
        return cls(float(gains.mean()), float(gains.std(ddof=1) * np.sqrt(1 + 1 / gains.size)), gains.size)

    def error(self, variance: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Standard error and degrees of freedom of a gain less that of a draw (Welch and Satterthwaite).

        Args:
            variance: of the mean gain over `n` puzzles, [...].
        """
        total = variance + self.sd**2
        spread = variance**2 / (n - 1) + self.sd**4 / (self.draws - 1)
        return np.sqrt(total), np.divide(total**2, spread, out=np.full_like(total, n - 1.0), where=spread > 0)


# A score is only held against a gain of 0.
NO_NULL = Null()


def detectable_gain(
    below: np.ndarray, failed: np.ndarray, null: Null = NO_NULL, level: float = 0.95
) -> tuple[float, float]:
    """The weakest independent score whose gain over the probabilities `below` is found with a power of 80 %.

    The score is normal with a standard deviation of 1 and lies d higher for failed puzzles, whatever is known of them
    already. Bayes' rule then gives the best model with the score, and the gain of that model as a function of d. That a
    fit has to find this model costs about a nat over all puzzles together, which is left out.

    Args:
        below: [N] held-out probabilities of "failed" without the score.
        failed: [N] booleans.
        null: the gain has to exceed 0, the tolerance of the fits and the gain of the null.
        level: one minus the two-sided error of the test.

    Returns:
        d, and the mean gain in nats per puzzle; nan where even a score that tells the outcomes apart is not found.
    """
    rng = np.random.default_rng(0)
    known = logit(np.clip(below, _EDGE, 1 - _EDGE))
    noise = rng.standard_normal((_DRAWS, failed.size))
    loss = log_loss(expit(known), failed)

    def exceeds(excess: np.ndarray, variance: np.ndarray, of_null: Null) -> np.ndarray:
        error, df = of_null.error(variance, failed.size)
        return excess > student.ppf((1 + level) / 2, df) * error

    def gains(d: float) -> tuple[float, float]:
        """Mean gain at strength d, and the share of the samples in which the gain is found."""
        evidence = d * (d * failed + noise) - d**2 / 2
        gain = loss - log_loss(expit(known + evidence), failed)
        mean, variance = gain.mean(1), gain.var(1, ddof=1) / failed.size
        found = exceeds(mean, variance, NO_NULL) & exceeds(mean - null.gain, variance, null)
        found &= failed.size * mean > MEASURABLE
        return float(mean.mean()), float(found.mean())

    low, high = 0.0, _STRONGEST
    if gains(high)[1] < _POWER:
        return float("nan"), float("nan")
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if gains(middle)[1] >= _POWER else (middle, high)
    return high, gains(high)[0]
