"""Which heads change in a training: scores with their null, changes with theirs, concentration, roles, ablations.

The unit of every interval is the puzzle: it says how well the numbers of one trained model are known.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binomtest, ttest_ind

from rrm.statistics.fourier import gini
from rrm.statistics.hypotheses import LEVEL, holm, mean_over_seeds, p_value
from rrm.statistics.interval import Interval

# A tenth of the heads is switched off, in all calls or in a third of them.
SHARE = 10
RANGES = ("early", "middle", "late")
# Roles that arXiv 2604.21999 names by thresholds of attention mass, here by the null of a pattern; the first pattern
# that there is counts.
ROLES: Mapping[str, tuple[str, ...]] = {
    "memory reader": ("prefix", "clue", "ends"),
    "constraint propagator": ("peers", "neighbours"),
}
INTEGRATOR = "integrator"


def null_band(null: ArrayLike, counted: ArrayLike, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """The ends of the lifts that heads have where cells lie at random, two [..., P].

    Args:
        null: [..., P, R] sums over puzzles of lifts in R draws.
        counted: [P] puzzles of the sums.
        level: share of the draws between the ends.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        lifts = np.asarray(null, float) / np.asarray(counted, float)[:, None]
    low, high = np.quantile(lifts, [(1 - level) / 2, (1 + level) / 2], axis=-1)
    return low, high


@dataclass(frozen=True)
class Moved:
    """The change of one head.

    Attributes:
        layer, head: numbers.
        change: mean divergence over puzzles and calls with its 95 % interval, nats.
        beyond: the same of the change minus that of the null; None without a null.
        p: corrected by Holm over the heads, of `beyond`; nan without.
    """

    layer: int
    head: int
    change: Interval
    beyond: Interval | None
    p: float

    @property
    def changed(self) -> bool:
        """Whether the head changes more than the null moves it."""
        return self.beyond is not None and self.beyond.estimate > 0 and self.p < LEVEL


def moved(change: ArrayLike, null: ArrayLike | None = None) -> list[Moved]:
    """The heads, those first that change most.

    Args:
        change: [B, T, Y, N] divergence of every puzzle and call from the model before the change, nan where a layer
            rests.
        null: the same of a model that differs by chance alone.
    """
    of_heads = np.nanmean(np.asarray(change, float), 1)
    paired = None if null is None else of_heads - np.nanmean(np.asarray(null, float), 1)
    places = list(np.ndindex(of_heads.shape[1:]))
    beyond = [None if paired is None else mean_over_seeds(paired[:, y, n]) for y, n in places]
    p = holm([np.nan if one is None else p_value(one) for one in beyond])
    found = [
        Moved(y, n, mean_over_seeds(of_heads[:, y, n]), one, float(corrected))
        for (y, n), one, corrected in zip(places, beyond, p, strict=True)
    ]
    return sorted(found, key=lambda one: -one.change.estimate)


@dataclass(frozen=True)
class Apart:
    """What tells puzzles apart that a model solves and that it fails.

    Attributes:
        difference: mean of the solved minus that of the failed, with the 95 % interval of Welch.
        p: corrected by Holm.
    """

    difference: Interval
    p: float


def solved_from_failed(values: ArrayLike, solved: ArrayLike) -> list[Apart]:
    """Welch's t-tests of each of P numbers of B puzzles [B, P]; nan for numbers with less than two puzzles a side."""
    values, solved = np.asarray(values, float), np.asarray(solved, bool)
    found, p = [], []
    for column in values.T:
        sides = [column[(solved == side) & np.isfinite(column)] for side in (True, False)]
        enough = all(len(side) > 1 and side.std() > 0 for side in sides)
        test = ttest_ind(*sides, equal_var=False) if enough else None
        ends = test.confidence_interval() if test else None
        mean = sides[0].mean() - sides[1].mean() if enough else np.nan
        low, high = (ends.low, ends.high) if ends else (np.nan, np.nan)
        found.append(Interval(float(mean), float(low), float(high), 0.95, sum(map(len, sides))))
        p.append(test.pvalue if test else np.nan)
    return [Apart(one, float(corrected)) for one, corrected in zip(found, holm(p), strict=True)]


@dataclass(frozen=True)
class Concentration:
    """How a change is shared among heads.

    Attributes:
        top: share of the head that changes most; 1 / heads where all change alike.
        gini: Gini coefficient over heads: 0 where all change alike.
        heads: number.
    """

    top: float
    gini: float
    heads: int


def concentration(change: ArrayLike) -> Concentration:
    """Of the changes of heads, any shape."""
    values = np.asarray(change, float).ravel()
    return Concentration(float(values.max() / values.sum()), gini(values), values.size)


def thirds(calls: int) -> dict[str, slice]:
    """The early, middle and late calls of a rollout of at least three."""
    ends = [round(calls * part / len(RANGES)) for part in range(len(RANGES) + 1)]
    return {name: slice(*ends[part : part + 2]) for part, name in enumerate(RANGES)}


@dataclass(frozen=True)
class Ablation:
    """Heads that are switched off together.

    Attributes:
        chosen: "top", the heads that change most; "random", as many at random; "one", a single head; "needed", those of
            which each alone is missed most.
        unit: "head" in all calls of a range, or "call": a head in one call is chosen by its change there.
        calls: "all" or one of RANGES.
        kind: "zero" or "mean" (`rrm.dynamics.ablation.KINDS`).
        off: [T, Y, N] bool.
    """

    chosen: str
    unit: str
    calls: str
    kind: str
    off: np.ndarray


def plan_ablations(change: ArrayLike, seed: int | Sequence[int], draws: int) -> list[Ablation]:
    """The ablations of a study.

    The tenth of the heads that change most and `draws` random tenths by zero, half as many by the mean; both in each
    third of the calls, with a quarter as many random ones; every head alone; and the tenth of all heads in single
    calls. Random tenths are all different. Fewer than three calls have no thirds and no single ones.

    Args:
        change: [T, Y, N] mean divergence, nan where a layer rests.
        seed: of the random sets; several models need different ones, or their sets are of the same heads.
        draws: random tenths in all calls, the null of the tenth that changes most.
    """
    change = np.asarray(change, float)
    calls, shape = len(change), change.shape[1:]
    rng = np.random.default_rng(seed)
    by_head = np.nanmean(change, 0).ravel()
    count = tenth(by_head.size)

    def heads(chosen: np.ndarray, where: slice = slice(None)) -> np.ndarray:
        off = np.zeros((calls, by_head.size), bool)
        off[where, chosen] = True
        return off.reshape(calls, *shape)

    top = np.argsort(-by_head, kind="stable")[:count]
    few = max(1, draws // 4)
    ranges = thirds(calls) if calls >= len(RANGES) else {}
    sets = [("all", "zero", slice(None), draws), ("all", "mean", slice(None), max(1, draws // 2))]
    sets += [(name, "zero", where, few) for name, where in ranges.items()]
    found = []
    for name, kind, where, number in sets:
        found.append(Ablation("top", "head", name, kind, heads(top, where)))
        random = random_sets(rng, by_head.size, count, number)
        found += [Ablation("random", "head", name, kind, heads(chosen, where)) for chosen in random]
    found += [Ablation("one", "head", "all", "zero", heads(np.array([number]))) for number in range(by_head.size)]
    if not ranges:
        return found
    working = np.flatnonzero(np.isfinite(change).ravel())
    most = working[np.argsort(-change.ravel()[working], kind="stable")]
    for chosen, units in [("top", most), *(("random", rng.permutation(working)) for _ in range(few))]:
        off = np.zeros(change.size, bool)
        off[units[: tenth(len(working))]] = True
        found.append(Ablation(chosen, "call", "all", "zero", off.reshape(change.shape)))
    return found


def random_sets(rng: np.random.Generator, size: int, count: int, draws: int) -> list[np.ndarray]:
    """At most `draws` different sets of `count` out of `size` things; all of them where there are no more."""
    if comb(size, count) <= 10 * draws:
        every = np.array([*combinations(range(size), count)])
        return [*rng.permutation(every)[:draws]]
    found: dict[tuple[int, ...], np.ndarray] = {}
    while len(found) < draws:
        chosen = np.sort(rng.choice(size, count, replace=False))
        found[tuple(chosen.tolist())] = chosen
    return [*found.values()]


def plan_needed(ablations: Sequence[Ablation], right: ArrayLike) -> list[Ablation]:
    """The tenth of the heads whose loss alone costs most right answers, by both kinds of ablation.

    Args:
        ablations: A of them, among them every head alone.
        right: [B, A] bool, answers under each. What the chosen heads carry has to be asked on other puzzles.
    """
    left = np.asarray(right, float).mean(0)
    alone = sorted(((left[column], column) for column, one in enumerate(ablations) if one.chosen == "one"))
    off = np.logical_or.reduce([ablations[column].off for _, column in alone[: tenth(len(alone))]])
    return [Ablation("needed", "head", "all", kind, off) for kind in ("zero", "mean")]


def tenth(count: int) -> int:
    """A tenth, at least 1."""
    return max(1, round(count / SHARE))


@dataclass(frozen=True)
class Lost:
    """What sets of heads carry of a gain, as shares of the gain.

    Attributes:
        chosen, unit, calls, kind: as in `Ablation`.
        sets: share of the gain that goes without the heads of each set: one, or the draws of "random".
    """

    chosen: str
    unit: str
    calls: str
    kind: str
    sets: tuple[float, ...]

    @property
    def share(self) -> float:
        """Mean over the sets."""
        return float(np.mean(self.sets))

    @property
    def least(self) -> float:
        """Smallest share."""
        return min(self.sets)

    @property
    def most(self) -> float:
        """Largest share."""
        return max(self.sets)


def lost(ablations: Sequence[Ablation], right: ArrayLike, whole: float, before: float) -> list[Lost]:
    """The share of the gain that each set carries, draws together; nan where there is no gain.

    Args:
        ablations: A of them.
        right: [B, A] bool, answers under each.
        whole: accuracy without ablation.
        before: accuracy before the training, from which the gain counts.
    """
    accuracy, gain = np.asarray(right, float).mean(0), whole - before
    groups: dict[tuple[str, str, str, str], list[float]] = {}
    for one, left in zip(ablations, accuracy, strict=True):
        if one.chosen != "one":
            key = one.chosen, one.unit, one.calls, one.kind
            groups.setdefault(key, []).append((whole - left) / gain if gain > 0 else np.nan)
    return [Lost(*key, tuple(map(float, shares))) for key, shares in groups.items()]


@dataclass(frozen=True)
class AmongRandom:
    """A set of heads among random sets of as many.

    Attributes:
        place: share of the random sets without which less is lost, equal ones counted half; .5 for a random set.
        p: chance that a random set costs as much, one-sided, of a permutation test: (1 + sets that do) / (1 + sets).
    """

    place: float
    p: float


def among_random(share: float, sets: Sequence[float]) -> AmongRandom:
    """Where a share of the gain stands among those of random sets; nan without a gain, or without sets."""
    drawn = np.asarray(sets, float)
    if not drawn.size or not np.isfinite([share, *drawn]).all():
        return AmongRandom(np.nan, np.nan)
    place = float(np.mean((drawn < share) + (drawn == share) / 2))
    return AmongRandom(place, float((1 + (drawn >= share).sum()) / (1 + drawn.size)))


@dataclass(frozen=True)
class HeadRole:
    """What one head does.

    Attributes:
        layer, head: numbers.
        roles: names of ROLES whose pattern the head looks at more than its null band allows; INTEGRATOR where it looks
            at none of them.
        lost: accuracy that goes with this head alone.
        needed: whether more puzzles are lost than won without it, by an exact McNemar test that Holm's correction
            covers over heads.
    """

    layer: int
    head: int
    roles: tuple[str, ...]
    lost: float
    needed: bool


def head_roles(lift: ArrayLike, high: ArrayLike, patterns: Sequence[str]) -> dict[tuple[int, int], tuple[str, ...]]:
    """The roles of each (layer, head) by the null alone.

    Args:
        lift: [Y, N, P] mean over puzzles and calls.
        high: [Y, N, P] upper end of the null band.
        patterns: P names.
    """
    lift, high = np.asarray(lift), np.asarray(high)
    columns = {role: next((patterns.index(name) for name in names if name in patterns), None)
               for role, names in ROLES.items()}  # fmt: skip
    return {
        (y, n): tuple(role for role, p in columns.items() if p is not None and lift[y, n, p] > high[y, n, p])
        or (INTEGRATOR,)
        for y, n in np.ndindex(lift.shape[:2])
    }


def roles_by_ablation(
    roles: Mapping[tuple[int, int], tuple[str, ...]], ablations: Sequence[Ablation], right: ArrayLike, whole: ArrayLike
) -> list[HeadRole]:
    """The roles with what each head alone is worth.

    Args:
        roles: as `head_roles` gives them.
        ablations: A of them, among them every head alone.
        right: [B, A] bool, answers under each.
        whole: [B] bool, answers without any.
    """
    right, whole = np.asarray(right, bool), np.asarray(whole, bool)
    alone = {tuple(np.argwhere(one.off[0])[0].tolist()): column
             for column, one in enumerate(ablations) if one.chosen == "one"}  # fmt: skip
    worse = {place: int((whole & ~right[:, column]).sum()) for place, column in alone.items()}
    better = {place: int((~whole & right[:, column]).sum()) for place, column in alone.items()}
    p = {place: binomtest(worse[place], n).pvalue if (n := worse[place] + better[place]) else 1.0 for place in alone}
    corrected = dict(zip(p, holm([*p.values()]), strict=True))
    return [
        HeadRole(*place, names, (worse[place] - better[place]) / len(whole),
                 bool(corrected[place] < LEVEL and worse[place] > better[place]))
        for place, names in roles.items()
    ]  # fmt: skip
