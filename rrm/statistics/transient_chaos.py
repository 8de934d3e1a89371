"""Transient chaos: a toy search in which a finite-time exponent knows only when the search ended.

Each puzzle draws a solution s ~ U(0.15, 0.85) and a start x ~ U(0, 1). The search is the logistic map x <- 4 x (1 - x)
with local rate log|4 - 8 x|, ln 2 on average; a step that ends within eps of s captures the state, which from then on
contracts, x <- s + (x - s) / 2 with rate ln 0.5. Captured by the horizon means solved. Correctness has no part in the
rates beyond the capture time, yet the exponent separates captured from uncaptured with an AUC close to 1: the
AUC of convergence detection.
Transient chaos as such: Lai and Tel, Transient Chaos (2011), chapter 2.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class TransientChaos:
    """Searches of the toy; one step stands for one segment.

    Attributes:
        lambda_cumulative: [n, horizon] exponent over the first t steps, nats per step.
        capture_time: [n] steps searched until captured, 1 to horizon, or horizon + 1 for never.
    """

    lambda_cumulative: np.ndarray
    capture_time: np.ndarray

    @property
    def lambda_1(self) -> np.ndarray:
        """[n] exponent over the whole horizon, nats per step."""
        return self.lambda_cumulative[:, -1]

    @property
    def captured(self) -> np.ndarray:
        """[n] booleans: captured by the horizon."""
        return self.capture_time <= self.lambda_cumulative.shape[1]


def transient_chaos(n: int, horizon: int, eps: float, seed: int = 0) -> TransientChaos:
    """`n` searches over `horizon` steps with capture radius `eps`."""
    rate, distance = _search(n, horizon, seed)
    near = distance < eps
    capture_time = np.where(near.any(axis=1), near.argmax(axis=1) + 1, horizon + 1)
    step = np.arange(1, horizon + 1)
    rate = np.where(step > capture_time[:, None], np.log(0.5), rate)
    return TransientChaos(np.cumsum(rate, axis=1) / step, capture_time)


def matched_eps(success_rate: float, horizon: int, n: int = 20_000, seed: int = 0) -> float:
    """The capture radius with which the share captured among the same `n` searches is `success_rate`, to 1 / n.

    The search does not depend on the radius until it ends, so the radius is a quantile of the closest approach.

    Raises:
        ValueError: a rate at which nobody, or everybody, of `n` would be captured.
    """
    n_captured = round(success_rate * n) if 0 <= success_rate <= 1 else -1
    if not 0 < n_captured < n:
        raise ValueError(f"success_rate must lie strictly between 0 and 1 (to 1 / {n}); got {success_rate}")
    closest = np.sort(_search(n, horizon, seed)[1].min(axis=1))
    return float((closest[n_captured - 1] + closest[n_captured]) / 2)


def local_rates(n: int, horizon: int, seed: int = 0) -> np.ndarray:
    """Local rates [n, horizon] of the same searches while they go on, nats per step; capture leaves them out."""
    return _search(n, horizon, seed)[0]


def _search(n: int, horizon: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Local rates of the endless search and its distance from the solution after each step, [n, horizon] each."""
    rng = np.random.default_rng(seed)
    solution, x = rng.uniform(0.15, 0.85, n), rng.random(n)
    rate, distance = np.empty((n, horizon)), np.empty((n, horizon))
    for t in range(horizon):
        rate[:, t] = np.log(np.maximum(np.abs(4 - 8 * x), np.finfo(float).tiny))
        x = 4 * x * (1 - x)
        distance[:, t] = np.abs(x - solution)
    return rate, distance
