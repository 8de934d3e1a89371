"""Systems with known exponents: an estimator must get them right before it is believed on a network.

`REFERENCE_SYSTEMS` names the systems; `measure_reference` runs the spectrum estimator on one and compares. All numbers
are float64 and seeded. A value is compared in one of three ways, its `kind`:

closed form: exact for the very orbit measured; the tolerance is rounding, or what is left of a transient.
statistical: exact on average; three standard errors over independent orbits, or a chi-square where several values are
tested at once, and a stated allowance where the formula holds for N to infinity.
literature: a published number; three standard errors, as no closed form exists.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import brentq
from scipy.stats import chi2
from torch import Tensor

from rrm.dynamics.dimensions import kaplan_yorke
from rrm.dynamics.lyapunov import MapSpectrum, map_spectrum
from rrm.dynamics.network_map import NetworkMap
from rrm.dynamics.tangent_map import CallableMap, TangentMap
from rrm.errors import InputError
from rrm.models import build, recursive, variant
from rrm.toys import reference_trainings

# Chance that a right estimator fails a statistical row: that of three standard errors.
_CHANCE = 0.0027
# The known exponents of a system whose `compare` has values of its own.
UNKNOWN = torch.empty(0, dtype=torch.float64)


@dataclass(frozen=True)
class ReferenceRow:
    """One compared value: ok where |measured - exact| <= tolerance. `standard_error` is None for a closed form."""

    quantity: str
    kind: str
    measured: float
    exact: float
    standard_error: float | None
    tolerance: float

    @property
    def error(self) -> float:
        """Measured minus exact."""
        return self.measured - self.exact

    @property
    def ok(self) -> bool:
        """Within the tolerance; a nan never is."""
        return abs(self.error) <= self.tolerance


@dataclass(frozen=True)
class ReferenceSystem:
    """A batch of B orbits with known exponents.

    Attributes:
        claim: what a pass shows.
        source: of the known values.
        build: seed -> (map, known exponents in nats per step: [k], or one row an orbit [B, k]; `UNKNOWN` where
            `compare` has values of its own).
        k, n_steps, transient, qr_every: of the measurement, as in `map_spectrum`.
        compare: (spectrum, known exponents) -> rows.
    """

    claim: str
    source: str
    build: Callable[[int], tuple[TangentMap, Tensor]]
    k: int
    n_steps: int
    transient: int
    compare: Callable[[MapSpectrum, Tensor], list[ReferenceRow]]
    qr_every: int = 1


def measure_reference(name: str, seed: int = 0) -> list[ReferenceRow]:
    """Run the reference system `name` from `seed` and compare.

    Raises:
        InputError: `name` is not in `REFERENCE_SYSTEMS`.
    """
    if name not in REFERENCE_SYSTEMS:
        raise InputError(f"reference system {name!r} is unknown: use one of {', '.join(REFERENCE_SYSTEMS)}")
    of = REFERENCE_SYSTEMS[name]
    system, exact = of.build(seed)
    found = map_spectrum(system, None, of.k, of.n_steps, transient=of.transient, qr_every=of.qr_every, seed=seed)
    return of.compare(found, exact)


def _closed_form(quantity: str, measured: Tensor, exact: Tensor | float, tolerance: float) -> ReferenceRow:
    """The entry of `measured` that is farthest from `exact`."""
    measured = measured.double().flatten()
    exact = torch.as_tensor(exact, dtype=torch.float64).expand(measured.shape)
    worst = (measured - exact).abs().nan_to_num(torch.inf).argmax()
    return ReferenceRow(quantity, "closed form", float(measured[worst]), float(exact[worst]), None, tolerance)


def _all_exponents(tolerance: float) -> Callable[[MapSpectrum, Tensor], list[ReferenceRow]]:
    def compare(found: MapSpectrum, exact: Tensor) -> list[ReferenceRow]:
        exact = exact.expand_as(found.exponents)
        k = exact.shape[1]
        if k > 8:
            return [_closed_form(f"all {k} exponents", found.exponents.flatten(), exact.flatten(), tolerance)]
        return [_closed_form(f"lambda_{i + 1}", found.exponents[:, i], exact[:, i], tolerance) for i in range(k)]

    return compare


def _mean_over_orbits(
    quantity: str, samples: Tensor, exact: float, kind: str = "statistical", allowance: float = 0.0
) -> ReferenceRow:
    """The mean of one value an orbit; `allowance` is added to the three standard errors."""
    error = float(samples.std() / math.sqrt(len(samples)))
    return ReferenceRow(quantity, kind, float(samples.mean()), float(exact), error, 3 * error + allowance)


def _kaplan_yorke_of_the_mean(exponents: Tensor, exact: float) -> ReferenceRow:
    """D of the exponents averaged over orbits, for D of a short orbit is biased; standard error by jackknife."""
    n, dimension = exponents.shape
    without_one = (exponents.sum(0) - exponents) / (n - 1)
    error = math.sqrt((n - 1) ** 2 / n) * float(kaplan_yorke(without_one, dimension)[0].std())
    D, _ = kaplan_yorke(exponents.mean(0), dimension)
    return ReferenceRow("Kaplan-Yorke dimension", "literature", float(D), exact, error, 3 * error)


def _chi_square(quantity: str, z: np.ndarray) -> ReferenceRow:
    """Sum of squares of standard normal, independent z: at most its quantile; measured against its mean."""
    n, value = z.size, float(np.square(z).sum())
    tolerance = chi2.ppf(1 - _CHANCE, n) - n
    return ReferenceRow(f"{quantity}, chi-square", "statistical", value, float(n), math.sqrt(2 * n), float(tolerance))


def _linear(matrix: Tensor, exact: Tensor, orbits: int = 2) -> tuple[TangentMap, Tensor]:
    """z <- A z for a matrix A [N, N] with the exponents `exact` [N]."""
    return CallableMap(lambda t, z: z @ matrix.T, torch.zeros(orbits, len(matrix), dtype=torch.float64)), exact


def _orthogonal(n: int, seed: int) -> Tensor:
    """A random orthogonal matrix [n, n] float64, uniform over the group."""
    generator = torch.Generator().manual_seed(seed)
    q, r = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64))
    return q * r.diagonal().sign()


def _symmetric(seed: int) -> tuple[TangentMap, Tensor]:
    """A symmetric matrix [6, 6] with given eigenvalues in a random basis."""
    sizes = torch.tensor([1.5, 1.1, 0.9, 0.5, 0.2, 0.1], dtype=torch.float64)
    basis = _orthogonal(6, seed)
    return _linear(basis @ torch.diag(sizes) @ basis.T, sizes.log())


TRIANGULAR_DIAGONAL = (1.5, 1.1, 0.9, 0.5, 0.2)


def triangular_matrix() -> Tensor:
    """Upper triangle [5, 5] float64 with that diagonal and 3 everywhere above: far from normal."""
    return torch.diag(torch.tensor(TRIANGULAR_DIAGONAL, dtype=torch.float64)) + torch.full((5, 5), 3.0).triu(1)


def _triangular(seed: int) -> tuple[TangentMap, Tensor]:
    """`triangular_matrix`: exponents ln of the diagonal."""
    return _linear(triangular_matrix(), torch.tensor(TRIANGULAR_DIAGONAL, dtype=torch.float64).log())


def _scaled_orthogonal(seed: int) -> tuple[TangentMap, Tensor]:
    """1.3 times an orthogonal matrix [64, 64]: all exponents ln 1.3."""
    return _linear(1.3 * _orthogonal(64, seed), torch.full((64,), 1.3, dtype=torch.float64).log())


def _cat(seed: int) -> tuple[TangentMap, Tensor]:
    """Arnold's cat map (x, y) <- (2 x + y, x + y) mod 1, 4 orbits."""
    generator = torch.Generator().manual_seed(seed)
    z0 = torch.rand(4, 2, generator=generator, dtype=torch.float64)
    matrix = torch.tensor([[2.0, 1.0], [1.0, 1.0]], dtype=torch.float64)
    rate = math.log((3 + math.sqrt(5)) / 2)
    return CallableMap(lambda t, z: (z @ matrix.T) % 1, z0), torch.tensor([rate, -rate], dtype=torch.float64)


def henon(t: int, z: Tensor) -> Tensor:
    """The Henon map at a = 1.4, b = 0.3, on [..., 2]."""
    x, y = z[..., 0], z[..., 1]
    return torch.stack((1 - 1.4 * x**2 + y, 0.3 * x), -1)


def _henon(seed: int) -> tuple[TangentMap, Tensor]:
    """2,000 orbits of the Henon map."""
    generator = torch.Generator().manual_seed(seed)
    return CallableMap(henon, 0.2 * torch.rand(2000, 2, generator=generator, dtype=torch.float64) - 0.1), UNKNOWN


def _compare_henon(found: MapSpectrum, exact: Tensor) -> list[ReferenceRow]:
    return [
        _mean_over_orbits("lambda_1", found.exponents[:, 0], 0.41922, "literature"),
        _mean_over_orbits("lambda_2", found.exponents[:, 1], -1.62319, "literature"),
        _closed_form("sum", found.exponents.sum(1), math.log(0.3), 1e-10),
        _kaplan_yorke_of_the_mean(found.exponents, 1.25827),
    ]


class Lorenz63(TangentMap):
    """The Lorenz flow (10, 28, 8/3) by classical Runge-Kutta steps of length h, on [B, 3].

    The tangents go through the same stages as the state, which makes them the exact derivative of the discrete step,
    at a small part of the cost of automatic differentiation.
    """

    h = 0.01
    divergence = -(10 + 1 + 8 / 3)

    def __init__(self, z0: Tensor):
        self._z0 = z0

    def start(self) -> Tensor:
        return self._z0

    def step(self, t: int, z: Tensor) -> Tensor:
        return self._runge_kutta(_lorenz_field, z)

    def push(self, t: int, z: Tensor, V: Tensor) -> tuple[Tensor, Tensor]:
        def field(both: Tensor) -> Tensor:
            z, V = both[:, 0], both[:, 1:]
            return torch.cat((_lorenz_field(z).unsqueeze(1), _lorenz_tangent_field(z, V)), 1)

        both = self._runge_kutta(field, torch.cat((z.unsqueeze(1), V), 1))
        return both[:, 0], both[:, 1:]

    def _runge_kutta(self, field: Callable[[Tensor], Tensor], w: Tensor) -> Tensor:
        k1 = field(w)
        k2 = field(w + self.h / 2 * k1)
        k3 = field(w + self.h / 2 * k2)
        k4 = field(w + self.h * k3)
        return w + self.h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def _lorenz_field(z: Tensor) -> Tensor:
    """dz/dt [B, 3] of z [B, 3]."""
    x, y, w = z.unbind(-1)
    return torch.stack((10 * (y - x), x * (28 - w) - y, x * y - 8 / 3 * w), -1)


def _lorenz_tangent_field(z: Tensor, V: Tensor) -> Tensor:
    """dV/dt [B, k, 3] of tangents V [B, k, 3] at z [B, 3]."""
    x, y, w = z.unsqueeze(1).unbind(-1)
    a, b, c = V.unbind(-1)
    return torch.stack((10 * (b - a), (28 - w) * a - b - x * c, y * a + x * b - 8 / 3 * c), -1)


def _lorenz(seed: int) -> tuple[TangentMap, Tensor]:
    """400 orbits of the Lorenz flow, on the attractor from their start."""
    generator = torch.Generator().manual_seed(seed)
    cube = torch.rand(400, 3, generator=generator, dtype=torch.float64) - 0.5
    z = 20 * cube + torch.tensor([0.0, 0.0, 25.0], dtype=torch.float64)
    # The neutral exponent of a window is what |dz/dt| gained: zero on average once the orbits have spread out.
    for t in range(2000):
        z = Lorenz63(z).step(t, z)
    return Lorenz63(z), UNKNOWN


def _compare_lorenz(found: MapSpectrum, exact: Tensor) -> list[ReferenceRow]:
    rates = found.exponents / Lorenz63.h
    return [
        _mean_over_orbits("lambda_1, per unit of time", rates[:, 0], 0.9056, "literature"),
        _mean_over_orbits("lambda_2, per unit of time", rates[:, 1], 0.0, "literature"),
        _mean_over_orbits("lambda_3, per unit of time", rates[:, 2], -14.5723, "literature"),
        _closed_form("sum, per unit of time", rates.sum(1), Lorenz63.divergence, 1e-3),
        _kaplan_yorke_of_the_mean(rates, 2.06215),
    ]


def _ring(seed: int) -> tuple[TangentMap, Tensor]:
    """A ring of 8 maps 3 z mod 1 with diffusive coupling, 4 orbits."""
    sites, slope, coupling = 8, 3.0, 0.6
    generator = torch.Generator().manual_seed(seed)

    def step(t: int, z: Tensor) -> Tensor:
        image = (slope * z) % 1
        return (1 - coupling) * image + coupling / 2 * (image.roll(1, -1) + image.roll(-1, -1))

    wave = torch.arange(sites, dtype=torch.float64) * 2 * math.pi / sites
    rates = (slope * (1 - coupling + coupling * wave.cos())).abs().log().sort(descending=True).values
    return CallableMap(step, torch.rand(4, sites, generator=generator, dtype=torch.float64)), rates


def _synchronised(seed: int) -> tuple[TangentMap, Tensor]:
    """6 synchronised logistic maps with coupling to their mean, 200 orbits."""
    coupling, sites = 0.6, 6
    # The invariant density of the logistic map, so that no transient biases the mean.
    generator = torch.Generator().manual_seed(seed)
    start = (torch.rand(200, 1, generator=generator, dtype=torch.float64) * math.pi / 2).sin().square()

    def step(t: int, z: Tensor) -> Tensor:
        image = 4 * z * (1 - z)
        return (1 - coupling) * image + coupling * image.mean(-1, keepdim=True)

    return CallableMap(step, start.repeat(1, sites)), torch.tensor(math.log(1 - coupling), dtype=torch.float64)


def _compare_synchronised(found: MapSpectrum, transverse: Tensor) -> list[ReferenceRow]:
    leading, others = found.exponents[:, 0], found.exponents[:, 1:]
    return [
        _mean_over_orbits("lambda_1", leading, math.log(2)),
        _closed_form("lambda_2 ... lambda_6 less lambda_1", others - leading[:, None], transverse, 1e-9),
    ]


# Rows and columns of the random matrices.
_GAUSSIAN = 8


def _gaussian_products(seed: int) -> tuple[TangentMap, Tensor]:
    """Products of Gaussian matrices [8, 8], 80 independent ones."""
    generator = torch.Generator().manual_seed(seed)
    orbits, steps = 80, REFERENCE_SYSTEMS["gaussian_products"].n_steps
    matrices = torch.randn(steps, orbits, _GAUSSIAN, _GAUSSIAN, generator=generator, dtype=torch.float64)
    system = CallableMap(
        lambda t, z: (matrices[t] @ z.unsqueeze(-1)).squeeze(-1), torch.zeros(orbits, _GAUSSIAN, dtype=torch.float64)
    )
    degrees = _GAUSSIAN - torch.arange(_GAUSSIAN, dtype=torch.float64)
    return system, (math.log(2) + torch.digamma(degrees / 2)) / 2


def _compare_gaussian(found: MapSpectrum, exact: Tensor) -> list[ReferenceRow]:
    """log R_ii = log chi with N - i + 1 degrees of freedom, independent over i and over time."""
    half = (_GAUSSIAN - torch.arange(_GAUSSIAN, dtype=torch.float64)) / 2
    variance, fourth = torch.polygamma(1, half) / 4, torch.polygamma(3, half) / 16
    steps, orbits, k = found.log_R.shape
    n = steps * orbits
    mean = found.exponents.mean(0)
    samples = found.log_R.flatten(0, 1)
    normal = (found.log_R - exact) / variance.sqrt()
    i, j = torch.triu_indices(k, k, 1)
    across = (normal[..., i] * normal[..., j]).flatten(0, 1).mean(0)
    in_time = (normal[1:] * normal[:-1]).flatten(0, 1).mean(0)
    return [
        *(
            ReferenceRow(f"lambda_{i + 1}", "statistical", float(mean[i]), float(exact[i]), float(e), 4 * float(e))
            for i, e in enumerate((variance / n).sqrt())
        ),
        _chi_square("means of log R_ii", ((mean - exact) / (variance / n).sqrt()).numpy()),
        _chi_square(
            "variances of log R_ii",
            ((samples.var(0) - variance) / ((fourth + 2 * variance.square()) / n).sqrt()).numpy(),
        ),
        _chi_square("correlations of log R_ii and log R_jj", (across * math.sqrt(n)).numpy()),
        _chi_square("correlations of log R_ii in time", (in_time * math.sqrt(n - orbits)).numpy()),
    ]


def _tanh_network(gain: float, units: int, orbits: int, seed: int) -> tuple[CallableMap, Tensor]:
    """Orbits of h' = J tanh h, with one J [units, units] of entries of standard deviation gain / sqrt(units)."""
    generator = torch.Generator().manual_seed(seed)
    J = gain / math.sqrt(units) * torch.randn(units, units, generator=generator, dtype=torch.float64)
    start = torch.randn(orbits, units, generator=generator, dtype=torch.float64)
    return CallableMap(lambda t, h: h.tanh() @ J.T, start), J


def _decaying_network(seed: int) -> tuple[TangentMap, Tensor]:
    """A tanh network below the onset of chaos, 200 units: exponents ln |eigenvalues of J|."""
    system, J = _tanh_network(0.8, 200, 2, seed)
    return system, torch.linalg.eigvals(J).abs().log().sort(descending=True).values[:4]


_CHAOTIC_UNITS, _CHAOTIC_GAIN = 200, 2.0


def _chaotic_network(seed: int) -> tuple[TangentMap, Tensor]:
    """A tanh network above the onset of chaos, 200 units, 8 orbits."""
    return _tanh_network(_CHAOTIC_GAIN, _CHAOTIC_UNITS, 8, seed)[0], UNKNOWN


def mean_field_spectrum(gain: float, shares: np.ndarray) -> np.ndarray:
    """Exponents at indices i = share * N of h' = J tanh h for N to infinity; a share of 0 gives lambda_1.

    Its units are N(0, D), D = gain^2 E tanh^2. Share 0 < x < 1: ln(gain^2 x / u) / 2, E[u d^2 / (1 + u d^2)] = x, with
    d = tanh'(sqrt(D) z), z ~ N(0, 1) (singular values of products of free matrices); x to 0: ln(gain^2 E d^2) / 2.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(200)
    weights = weights / weights.sum()
    variance = brentq(lambda D: gain**2 * weights @ np.tanh(np.sqrt(D) * nodes) ** 2 - D, 1e-6, gain**2)
    slope = np.cosh(np.sqrt(variance) * nodes) ** -4.0  # d^2

    def rate(x: float) -> float:
        if x == 0:
            return np.log(gain**2 * (weights @ slope)) / 2
        log_u = brentq(lambda v: weights @ (slope / (np.exp(-v) + slope)) - x, -50.0, 50.0)
        return (np.log(gain**2 * x) - log_u) / 2

    return np.array([rate(x) for x in shares])


def _compare_chaotic(found: MapSpectrum, exact: Tensor) -> list[ReferenceRow]:
    shares = np.array([0.0, 0.05, 0.1, 0.25])
    rows = []
    for share, rate in zip(shares, mean_field_spectrum(_CHAOTIC_GAIN, shares), strict=True):
        index = max(1, round(share * _CHAOTIC_UNITS))
        rows.append(_mean_over_orbits(f"lambda_{index}", found.exponents[:, index - 1], rate, allowance=0.02))
    positive = brentq(lambda x: mean_field_spectrum(_CHAOTIC_GAIN, np.array([x]))[0], 1e-3, 0.9)
    share = (found.exponents > 0).double().mean(1) * found.exponents.shape[1] / _CHAOTIC_UNITS
    return [*rows, _mean_over_orbits("share of positive exponents", share, positive, allowance=0.02)]


def _zero_weights(damping: float) -> Callable[[int], tuple[TangentMap, Tensor]]:
    """A TRM whose blocks have zero weights: z_L <- rms(z_L + z_H + x), z_H <- rms(z_H + z_L), damped.

    Both halves settle on x / rms(x). Across that direction a call then multiplies the tangents (dz_H, dz_L) by a 2 x 2
    matrix, with 1 / (2 + rms(x)) for L and 1/2 for H; along it nothing is left but what damping keeps of the old half.
    """
    width = 4

    def build_it(seed: int) -> tuple[TangentMap, Tensor]:
        shape = {"vocab_size": 8, "seq_len": 1, "hidden_size": width, "num_heads": 1, "H_cycles": 1, "L_cycles": 2}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = recursive(build(variant("trm_att", **shape, L_layers=1) | {"damping": damping}), "a spectrum")
            model.double().eval()
        with torch.no_grad():
            for parameter in model.network("L").parameters():
                parameter.zero_()
            batch = {"inputs": torch.arange(1, 5).view(4, 1), "puzzle_identifiers": torch.zeros(4, dtype=torch.long)}
            rms = model.embed(batch["inputs"], batch["puzzle_identifiers"]).square().mean((1, 2)).sqrt()
        return NetworkMap(model, batch), torch.stack([rates(float(r), model.segment_calls) for r in rms])

    def rates(rms: float, calls: tuple[str, ...]) -> Tensor:
        across = torch.eye(2, dtype=torch.float64)
        for half in calls:
            s = damping / (2 if half == "H" else 2 + rms)
            rows = [[1 - damping + s, s], [0, 1]] if half == "H" else [[1, 0], [s, 1 - damping + s]]
            across = torch.tensor(rows, dtype=torch.float64) @ across
        across = torch.linalg.eigvals(across).abs().log().repeat_interleave(width - 1)
        if damping != 1:
            along = [calls.count(half) * math.log(1 - damping) for half in "HL"]
            across = torch.cat((across, torch.tensor(along, dtype=torch.float64)))
        return across.sort(descending=True).values / len(calls)

    return build_it


# Half the width of the hole that captures an orbit, and steps of an orbit.
_CAPTURE_RADIUS, _HORIZON = 0.04, 16


def _transient_chaos(seed: int) -> tuple[TangentMap, Tensor]:
    """x <- 4 x (1 - x) until |x - s| < radius, then x <- s + (x - s) / 2; FTLE of each orbit given its capture time."""
    generator = torch.Generator().manual_seed(seed)
    goal, start = torch.rand(2, 5000, 1, generator=generator, dtype=torch.float64)
    goal = 0.15 + 0.7 * goal

    def step(t: int, x: Tensor) -> Tensor:
        return torch.where((x - goal).abs() < _CAPTURE_RADIUS, goal + (x - goal) / 2, 4 * x * (1 - x))

    x, time, last = start, torch.zeros_like(start), start
    for t in range(_HORIZON):
        searching = (x - goal).abs() >= _CAPTURE_RADIUS
        time = time + searching
        x = step(t, x)
        last = torch.where(searching, x, last)
    # |f'(x)| = 2 sqrt(f (1 - f) / (x (1 - x))) for f = 4 x (1 - x), so that the search telescopes.
    search = time * math.log(2) + 0.5 * (last * (1 - last) / (start * (1 - start))).log()
    return CallableMap(step, start), (search + (_HORIZON - time) * math.log(0.5)) / _HORIZON


def _compare_transient(found: MapSpectrum, exact: Tensor) -> list[ReferenceRow]:
    return [_closed_form("lambda_1 of every orbit, given its capture time", found.exponents, exact.flatten(), 1e-6)]


REFERENCE_SYSTEMS: dict[str, ReferenceSystem] = {
    "symmetric": ReferenceSystem(
        claim="orthonormalisation and averaging",
        source="logs of the eigenvalues",
        build=_symmetric,
        k=6,
        n_steps=50,
        transient=100,
        compare=_all_exponents(1e-10),
    ),
    "triangular": ReferenceSystem(
        claim="non-normal maps: the limit is set by the eigenvalues, whatever the angles between the eigenvectors",
        source="logs of the diagonal",
        build=_triangular,
        k=5,
        n_steps=50,
        transient=200,
        compare=_all_exponents(1e-9),
    ),
    "scaled_orthogonal": ReferenceSystem(
        claim="a fully degenerate spectrum, k = N = 64",
        source="ln 1.3",
        build=_scaled_orthogonal,
        k=64,
        n_steps=50,
        transient=0,
        compare=_all_exponents(1e-12),
    ),
    "cat": ReferenceSystem(
        claim="a chaotic orbit with a constant Jacobian",
        source="+-ln((3 + sqrt 5) / 2)",
        build=_cat,
        k=2,
        n_steps=50,
        transient=20,
        compare=_all_exponents(1e-12),
    ),
    "henon": ReferenceSystem(
        claim="a state-dependent Jacobian; the determinant fixes the sum",
        source="Sprott, Chaos and Time-Series Analysis (2003): 0.41922, -1.62319, 1.25827; sum ln 0.3",
        build=_henon,
        k=2,
        n_steps=100,
        transient=40,
        compare=_compare_henon,
    ),
    "lorenz": ReferenceSystem(
        claim="a flow: a neutral exponent beside a positive and a very negative one; QR at every tenth step",
        source="Sprott (2003): 0.9056, 0, -14.5723, 2.06215; sum -(10 + 1 + 8/3)",
        build=_lorenz,
        k=3,
        n_steps=1000,
        transient=1000,
        compare=_compare_lorenz,
        qr_every=10,
    ),
    "ring": ReferenceSystem(
        claim="degenerate pairs in a coupled system",
        source="ln |a (1 - e + e cos(2 pi j / N))|, a = 3, e = 0.6, N = 8",
        build=_ring,
        k=8,
        n_steps=50,
        transient=80,
        compare=_all_exponents(1e-9),
    ),
    "synchronised": ReferenceSystem(
        claim="a chaotic direction beside contracting transverse ones",
        source="ln 2 along the synchronised logistic maps, ln 2 + ln(1 - e) across",
        build=_synchronised,
        k=6,
        n_steps=100,
        transient=30,
        compare=_compare_synchronised,
    ),
    "gaussian_products": ReferenceSystem(
        claim="the distribution of the local exponents: standard errors, histograms and the independence of the batch",
        source="Newman, Commun. Math. Phys. 103, 121 (1986): log R_ii = log chi with N - i + 1 degrees of freedom",
        build=_gaussian_products,
        k=_GAUSSIAN,
        n_steps=150,
        transient=0,
        compare=_compare_gaussian,
    ),
    "decaying_network": ReferenceSystem(
        claim="complex eigenvalues",
        source="h' = J tanh h with gain 0.8 dies out: ln |eigenvalues of J|",
        build=_decaying_network,
        k=4,
        n_steps=1500,
        transient=500,
        compare=_all_exponents(2e-3),
    ),
    "chaotic_network": ReferenceSystem(
        claim="the spectrum of a large random network, k < N",
        source="mean field of h' = J tanh h with gain 2 (N to infinity); at N = 200 lambda_1 is 5 to 15 % low",
        build=_chaotic_network,
        k=55,
        n_steps=300,
        transient=100,
        compare=_compare_chaotic,
    ),
    "zero_weights": ReferenceSystem(
        claim="the network code: embedding, injection, calls of both halves, hand-written tangents of post-norm blocks",
        source="the normalisation alone: 2 x 2 matrices over a segment",
        build=_zero_weights(1.0),
        k=6,
        n_steps=30,
        transient=150,
        compare=_all_exponents(1e-4),
    ),
    "zero_weights_damped": ReferenceSystem(
        claim="the same with damping, which revives the radial directions; k = N",
        source="the normalisation alone; ln(1 - damping) along the state",
        build=_zero_weights(0.8),
        k=8,
        n_steps=30,
        transient=150,
        compare=_all_exponents(2e-3),
    ),
    "gradient_descent": ReferenceSystem(
        claim="training as a map: Hessian-vector products, weight decay, below and beyond the edge of stability; k = N",
        source="ln |1 - lr (h + wd)|",
        build=reference_trainings.gradient_descent_on_a_quadratic,
        k=6,
        n_steps=50,
        transient=400,
        compare=_all_exponents(1e-12),
    ),
    "adamw_at_rest": ReferenceSystem(
        claim="the same with the moments of AdamW and a frozen preconditioner; k = N",
        source="eigenvalues of a 2 x 2 matrix a mode, and ln b2 a weight",
        build=reference_trainings.adamw_at_rest,
        k=12,
        n_steps=50,
        transient=400,
        compare=_all_exponents(1e-8),
    ),
    "adamw_balanced": ReferenceSystem(
        claim="the same where the update balances the decay and the preconditioner moves; k = N",
        source="eigenvalues of a 3 x 3 matrix a weight",
        build=reference_trainings.adamw_balanced,
        k=6,
        n_steps=50,
        transient=1200,
        compare=_all_exponents(1e-9),
    ),
    "adam_atan2_balanced": ReferenceSystem(
        claim="the same with Adam-atan2",
        source="eigenvalues of a 3 x 3 matrix a weight",
        build=reference_trainings.adam_atan2_balanced,
        k=6,
        n_steps=50,
        transient=1200,
        compare=_all_exponents(1e-9),
    ),
    "transient_chaos": ReferenceSystem(
        claim="finite-time exponents of every orbit, before and after it settles",
        source="ln 2 a step of search, up to its end points by conjugacy to the tent map; ln 0.5 a step once captured",
        build=_transient_chaos,
        k=1,
        n_steps=_HORIZON,
        transient=0,
        compare=_compare_transient,
    ),
}
