"""Fourier structure of a network that computes a o b mod p: does it use the characters of its operation, and which?

A character of a cyclic group of n elements turns the operation into a product of waves. The sum of a and b is a wave in
a + b: the pair of 2-D frequencies (k, k) and (n - k, n - k). The difference is the pair (k, n - k) and (n - k, k), so
that a network of a - b has nothing on the diagonal of a + b. Multiplication and division are the sum and the difference
of discrete logarithms, in the group of the p - 1 numbers other than 0. Only at k = n / 2, of an even n, are the pairs
of an operation and of its inverse the same.

Nanda et al. 2301.05217 (restricted and excluded loss); Furuta et al. 2402.16726 (operations differ).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logsumexp

# Sign of the second exponent in the wave, and whether exponents are discrete logarithms.
_OPERATIONS = {"add": (1, False), "subtract": (-1, False), "multiply": (1, True), "divide": (-1, True)}

# A frequency is a key frequency from this share of the largest power on.
THRESHOLD = 0.15


@dataclass(frozen=True)
class Ablation:
    """Cross-entropy in nats and accuracy, means over the pairs (a, b) of one part."""

    loss: float
    accuracy: float


@dataclass(frozen=True, eq=False)
class Fourier:
    """Fourier structure of a network; frequencies are 1 to n // 2, for a group of n elements.

    Attributes:
        operation: as given.
        threshold: share of the largest power from which a frequency is a key, of embedding and logits alike.
        frequency: [m] frequencies.
        embedding_power: [m] share of the power of the embedding, without its mean; None without an embedding.
        logit_power: [n, n] share of the power of the logits at each 2-D frequency, 0 at (0, 0).
        explained: [m] fraction of the variance of the logits that each frequency of the operation explains.
        inverse: fraction of variance that all frequencies of the inverse operation explain.
        embedding_keys, keys: [.] key frequencies of the embedding and of the logits, the strongest first.
        ablations: by (logits, part): logits "full", "restricted" to the key frequencies and the mean, or with the key
            frequencies "excluded"; part "all", and "train" and "test" where the trained pairs are known.
    """

    operation: str
    threshold: float
    frequency: np.ndarray
    embedding_power: np.ndarray | None
    logit_power: np.ndarray
    explained: np.ndarray
    inverse: float
    embedding_keys: np.ndarray
    keys: np.ndarray
    ablations: Mapping[tuple[str, str], Ablation]

    @property
    def fve(self) -> float:
        """Fraction of the variance of the logits that all frequencies of the operation explain; 1 is an ideal network.

        The logits have their mean over pairs subtracted, class by class.
        """
        return float(self.explained.sum())

    @property
    def key_fve(self) -> float:
        """Fraction of variance that the key frequencies explain."""
        return float(self.explained[self.keys - 1].sum())

    @property
    def gini(self) -> float:
        """Gini coefficient of the power of the embedding over frequencies; nan without an embedding."""
        return float("nan") if self.embedding_power is None else gini(self.embedding_power)


def group_order(p: int, operation: str) -> np.ndarray:
    """The elements of the group of an operation mod p, int64 [n], so that the i-th and j-th combine to number i +- j.

    All numbers for add and subtract; for multiply and divide the powers 1, g, g^2, ... of the least primitive root g.

    Raises:
        ValueError: unknown operation, or a product or quotient whose p is not an odd prime.
    """
    _, multiplicative = _rule(operation)
    if not multiplicative:
        return np.arange(p)
    if p < 3 or any(p % q == 0 for q in range(2, int(p**0.5) + 1)):
        raise ValueError(f"p = {p} with {operation}: discrete logarithms need an odd prime p")
    exponent = np.arange(p - 1)
    powers = (np.array([pow(root, int(e), p) for e in exponent]) for root in range(2, p))
    return next(found for found in powers if np.unique(found).size == p - 1)


def embedding_power(embedding: ArrayLike, operation: str) -> np.ndarray:
    """Share of the power of an embedding at the frequencies 1 to n // 2, [m].

    Args:
        embedding: [p, D], the vector of each number.
        operation: whose characters are used.
    """
    embedding = np.asarray(embedding, float)
    power = (np.abs(np.fft.rfft(embedding[group_order(len(embedding), operation)], axis=0)) ** 2).sum(1)[1:]
    return power / power.sum()


def gini(power: ArrayLike) -> float:
    """Gini coefficient of m powers: 0 where all are equal, 1 - 1 / m where one has everything."""
    power = np.sort(np.asarray(power, float))
    m = power.size
    return float((2 * np.arange(1, m + 1) - m - 1) @ power / (m * power.sum()))


def explained(logits: ArrayLike, operation: str) -> np.ndarray:
    """Fraction of the variance of the logits that each frequency 1 to n // 2 of an operation explains, [m].

    Args:
        logits: [p, p, C], by a, b and class.
        operation: whose characters are used.
    """
    table = _table(logits, operation)
    return _shares(table, _rule(operation)[0])


def key_frequencies(power: ArrayLike, threshold: float = THRESHOLD, most: int | None = None) -> np.ndarray:
    """Frequencies whose power is at least `threshold` times the largest one, the strongest first, at most `most`.

    Args:
        power: [m] at the frequencies 1 to m.
        threshold: above 0, at most 1.
        most: no limit by default.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"the threshold of key frequencies is {threshold:g}: use a share of the largest, up to 1")
    power = np.asarray(power, float)
    order = np.argsort(-power, kind="stable")
    return (1 + order[power[order] >= threshold * power.max()])[:most]


def fourier(
    logits: ArrayLike,
    operation: str,
    embedding: ArrayLike | None = None,
    train: ArrayLike | None = None,
    threshold: float = THRESHOLD,
    most: int | None = None,
) -> Fourier:
    """The whole analysis of a network.

    Args:
        logits: [p, p, C], by a, b and class; C = p. Pairs outside of the group (0 in a product) are left out.
        operation: "add", "subtract", "multiply" or "divide".
        embedding: [p, D] of the numbers.
        train: bool [p, p], the trained pairs.
        threshold, most: as for `key_frequencies`; they act on embedding, logits and ablations.

    Raises:
        ValueError: as for `group_order` and `key_frequencies`, or logits of another shape.
    """
    table, (sign, _) = _table(logits, operation), _rule(operation)
    shares = _shares(table, sign)
    keys = key_frequencies(shares, threshold, most)
    power = None if embedding is None else embedding_power(embedding, operation)
    return Fourier(
        operation=operation,
        threshold=threshold,
        frequency=np.arange(1, shares.size + 1),
        embedding_power=power,
        logit_power=_plane(table),
        explained=shares,
        inverse=float(_shares(table, -sign).sum()),
        embedding_keys=np.array([], int) if power is None else key_frequencies(power, threshold, most),
        keys=keys,
        ablations=dict(_ablations(table, operation, keys, len(np.asarray(logits)), train)),
    )


def nested_ablations(
    logits: ArrayLike, operation: str, train: ArrayLike | None, least: float
) -> Iterator[Mapping[tuple[str, str], Ablation]]:
    """The ablations of the strongest 0, 1, 2, ... frequencies, up to all that are keys at the threshold `least`.

    Args, Raises: as for `fourier`.
    """
    table = _table(logits, operation)
    keys = key_frequencies(_shares(table, _rule(operation)[0]), least)
    for count in range(len(keys) + 1):
        yield dict(_ablations(table, operation, keys[:count], len(np.asarray(logits)), train))


def _rule(operation: str) -> tuple[int, bool]:
    if operation not in _OPERATIONS:
        raise ValueError(f"operation {operation!r} is unknown: use one of {', '.join(_OPERATIONS)}")
    return _OPERATIONS[operation]


def _table(logits: ArrayLike, operation: str) -> np.ndarray:
    """[n, n, C], the logits of the pairs in the order of the group."""
    logits = np.asarray(logits, float)
    if logits.ndim != 3 or logits.shape[0] != logits.shape[1]:
        raise ValueError(f"logits have the shape {logits.shape}: they are [p, p, classes], by a, b and class")
    order = group_order(len(logits), operation)
    return logits[order[:, None], order]


def _waves(table: np.ndarray, sign: int) -> np.ndarray:
    """[n, C], mean of the logits over the pairs (i, j) with the same i +- j, less the mean over all pairs."""
    i, n = np.arange(len(table)), len(table)
    # Pair i with the j for which i + sign j = s.
    means = np.stack([table[i, sign * (s - i) % n].mean(0) for s in range(n)])
    return means - means.mean(0)


def _shares(table: np.ndarray, sign: int) -> np.ndarray:
    """[m] fraction of variance at each frequency in i +- j."""
    n = len(table)
    power = (np.abs(np.fft.rfft(_waves(table, sign), axis=0) / n) ** 2).sum(1)[1:]
    # Every frequency stands for itself and for its conjugate, n / 2 for itself alone.
    twice = np.where(2 * np.arange(1, n // 2 + 1) == n, 1, 2)
    return twice * power / table.var((0, 1)).sum()


def _plane(table: np.ndarray) -> np.ndarray:
    power = (np.abs(np.fft.fft2(table, axes=(0, 1))) ** 2).sum(2)
    power[0, 0] = 0
    return power / power.sum()


def _ablations(
    table: np.ndarray, operation: str, keys: np.ndarray, p: int, train: ArrayLike | None
) -> Iterator[tuple[tuple[str, str], Ablation]]:
    (sign, _), order, n = _rule(operation), group_order(p, operation), len(table)
    i = np.arange(n)
    combined = (i[:, None] + sign * i) % n
    spectrum = np.fft.rfft(_waves(table, sign), axis=0)
    spectrum[~np.isin(np.arange(len(spectrum)), keys)] = 0
    of_keys = np.fft.irfft(spectrum, n, axis=0)[combined]
    parts = {"all": np.ones((n, n), bool)}
    if train is not None:
        trained = np.asarray(train, bool)[order[:, None], order]
        parts |= {"train": trained, "test": ~trained}
    variants = {"full": table, "restricted": table.mean((0, 1)) + of_keys, "excluded": table - of_keys}
    target = order[combined]
    for name, logits in variants.items():
        losses = logsumexp(logits, axis=-1) - np.take_along_axis(logits, target[..., None], -1)[..., 0]
        right = logits.argmax(-1) == target
        for part, of in parts.items():
            if of.any():
                yield (name, part), Ablation(float(losses[of].mean()), float(right[of].mean()))
