"""AUCs among comparable pairs: within strata, within deciles of late drift, at the same stopping time, by chance.

Every AUC here is a weighted share of the pairs that count, with the score interval of `pairs_interval`. Cost: a sort a
stratum or segment.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from rrm.statistics.auc import check_scores
from rrm.statistics.auc_interval import pairs_interval
from rrm.statistics.delong import wins
from rrm.statistics.interval import Interval
from rrm.statistics.means import normal_interval, undefined_interval


def stratified_auc(score: ArrayLike, positive: ArrayLike, strata: ArrayLike, *, level: float = 0.95) -> Interval:
    """AUC over the pairs of a positive and a negative of the same stratum, pooled over all such pairs.

    Args:
        score, positive: [N] each, as in `auc`.
        strata: [N] integers or other labels, such as the number of givens.
        level: nominal coverage.

    Returns:
        The interval over puzzles, the strata held fixed; `n` counts the puzzles of strata that hold both classes. All
        nan when no stratum does.

    Raises:
        ValueError: shapes that do not match, or a score that is not finite.
    """
    score, positive = check_scores(score, positive)
    strata = np.asarray(strata)
    if strata.shape != score.shape:
        raise ValueError(f"strata must be [N] like the score; got shapes {strata.shape} and {score.shape}")
    won, met = np.zeros(score.size), np.zeros(score.size)
    order = np.argsort(strata, kind="stable")
    for rows in np.split(order, np.flatnonzero(strata[order][1:] != strata[order][:-1]) + 1):
        here = positive[rows]
        n_positive = np.count_nonzero(here)
        won[rows[here]], won[rows[~here]] = wins(score[rows], here)
        met[rows[here]], met[rows[~here]] = rows.size - n_positive, n_positive
    n, n_pairs = int(np.count_nonzero(met)), met[positive].sum()
    if n == 0:
        return undefined_interval(n, level)
    of_positives, of_negatives = ((met[rows] ** 2).sum() / n_pairs**2 for rows in (positive, ~positive))
    return pairs_interval(won[positive].sum() / n_pairs, 1 / n_pairs, of_positives, of_negatives, n, level)


def drift_decile_auc(score: ArrayLike, positive: ArrayLike, late_drift: ArrayLike, *, level: float = 0.95) -> Interval:
    """`stratified_auc` within the deciles of late drift, equal drifts together.

    A decile still spans a range of drifts, so a copy of late drift scores above 0.5 too. Quote the AUC beside
    `drift_decile_auc(late_drift, positive, late_drift)`: only the excess over that AUC is not drift.

    Args:
        score, positive, late_drift: [N] each, finite.
        level: nominal coverage.

    Returns:
        As `stratified_auc`.
    """
    late_drift, positive = check_scores(late_drift, positive)
    decile = np.floor(10 * (rankdata(late_drift) - 0.5) / late_drift.size).astype(int)
    return stratified_auc(score, positive, decile, level=level)


def stop_time_matched_auc(
    lambda_cumulative: ArrayLike, failed: ArrayLike, stop: ArrayLike, *, lead: int = 2, level: float = 0.95
) -> Interval:
    """AUC of the exponent before settling: each solved puzzle against the failed ones that were still moving then.

    A solved puzzle that settles at segment t is compared with every failed puzzle not settled at t, both by their
    exponent over the first t - `lead` segments (risk-set matching, as in a nested case-control study). The estimate is
    the mean over solved puzzles of the share of these failed puzzles with the larger exponent, ties one half. An
    exponent that knows only the settling time scores about 0.5.

    The last segments must be left out because settling selects them: the first quiet segment contracts, and the one
    before is chosen by where it landed. `transient_chaos`, whose exponent is blind to correctness, scores 0.80, 0.28,
    0.45 and 0.49 with a lead of 0, 1, 2 and 3 (16 segments). Quote the toy at the same lead, or several leads.

    Args:
        lambda_cumulative: [N, T] exponent over the first t segments, in any unit shared by all puzzles.
        failed: [N] booleans, the outcome at the last segment.
        stop: [N] integers, the first quiet segment, 1 to T, or T + 1 for never, as from `settle_time`.
        lead: segments left out, the first quiet one included; at least 0.
        level: nominal coverage.

    Returns:
        The interval over puzzles; `n` counts the solved puzzles that settle after `lead` and have anyone to be compared
        with, and the failed ones compared with any of them. A failed puzzle is compared at several segments, and the
        interval takes its exponents at all of them for equally good. All nan when nobody is compared.

    Raises:
        ValueError: shapes that do not match, an exponent that is not finite, `stop` outside 1 to T + 1, or a negative
            lead.
    """
    exponent, stop = np.asarray(lambda_cumulative, dtype=float), np.asarray(stop)
    if exponent.ndim != 2 or stop.shape != exponent.shape[:1]:
        raise ValueError(f"needs lambda_cumulative [N, T] and stop [N]; got shapes {exponent.shape} and {stop.shape}")
    segments = exponent.shape[1]
    if lead < 0 or not np.isin(stop, np.arange(1, segments + 2)).all():
        raise ValueError(f"needs stop of integers from 1 to T + 1 = {segments + 1} and lead >= 0; got lead {lead}")
    stays_below = np.full(len(stop), np.nan)  # share of the moving failed puzzles with a larger exponent
    pairs, of_failed = 0.0, np.zeros(len(stop))  # as in `pairs_interval`, but for the number of solved puzzles
    for t in range(lead + 1, segments + 1):
        score, failed = check_scores(exponent[:, t - lead - 1], failed)
        settling, moving = ~failed & (stop == t), failed & (stop > t)
        n_settling, n_moving = np.count_nonzero(settling), np.count_nonzero(moving)
        if n_settling and n_moving:
            rows = settling | moving
            stays_below[settling] = wins(score[rows], failed[rows])[1] / n_moving
            pairs += n_settling / n_moving
            of_failed[moving] += n_settling / n_moving
    compared = np.isfinite(stays_below)
    n_compared = int(np.count_nonzero(compared))
    n = n_compared + int(np.count_nonzero(of_failed))
    if n_compared == 0:
        return undefined_interval(n, level)
    return pairs_interval(
        stays_below[compared].mean(),
        pairs / n_compared**2,
        (of_failed**2).sum() / n_compared**2,
        1 / n_compared,
        n,
        level,
    )


def label_shuffle(score: ArrayLike, positive: ArrayLike, *, level: float = 0.95) -> Interval:
    """The AUC that `score` has for permuted labels: 0.5, and the range that holds the share `level` of permutations.

    The closed form of the Mann-Whitney U distribution with its correction for ties, normal approximation (Lehmann,
    Nonparametrics (1975), section 1.4); for classes of ten or more it agrees with shuffling.

    Args:
        score, positive: [N] each, as in `auc`.
        level: share of permutations within the range.

    Returns:
        Mean and range; all nan when a class is empty.
    """
    score, positive = check_scores(score, positive)
    n, n_positive = score.size, np.count_nonzero(positive)
    n_pairs = n_positive * (n - n_positive)
    if n_pairs == 0:
        return undefined_interval(n, level)
    ties = np.unique(score, return_counts=True)[1].astype(float)
    variance = (n + 1 - (ties**3 - ties).sum() / (n * (n - 1))) / (12 * n_pairs)
    return normal_interval(0.5, variance, n, level)
