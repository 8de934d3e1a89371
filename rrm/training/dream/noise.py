"""How much noise the next round gets: log sigma moves with the success of this one."""

import math

# By name, what success above the target does to the noise.
SIGNS = {"up": 1, "down": -1, "constant": 0}
SMALLEST, LARGEST = 1e-3, 10.0


def next_sigma(sigma: float, p_hat: float, sign: int, eta: float, target: float) -> float:
    """sigma exp(sign eta (p_hat - target)), within SMALLEST and LARGEST.

    With sign 1 success above the target raises the noise. Where noise lowers success this is negative feedback, and
    success settles at the target; with sign -1 the noise then runs away.
    """
    if not sign:
        return sigma
    return math.exp(min(max(math.log(sigma) + sign * eta * (p_hat - target), math.log(SMALLEST)), math.log(LARGEST)))
