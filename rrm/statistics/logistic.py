"""Held-out probabilities of a ridge logistic regression, and their log-loss.

A score may tell failed from solved by any monotone law, and a logistic model that is linear in it would lose to another
score only by its shape. So each column enters as its normal score (its rank in the training rows, mapped to a normal
quantile) and as the square of that.

Each feature has a ridge penalty of its own, the precision of a normal prior on its coefficients, chosen on the
training rows by MacKay's evidence rule (Neural Computation 4 (1992) 415 and 720): penalty = (effective number of
coefficients) / (their sum of squares). A feature of many useless columns is switched off and does not spoil the others;
a strong one is not shrunk; and a second copy of a feature gains nothing, as under a fixed penalty it would.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, logit, ndtri

# The weakest penalty keeps coefficients finite under complete separation, the strongest removes a feature.
_PENALTIES = 1e-8, 1e8
# A fit is done when the next Newton step would lower the penalised loss of all training rows together by less, in nats.
_DECREMENT = 1e-3
# Members of a class beyond which a fit on so many of each comes first, as a start.
_START = 10_000
# Knots of the normal-score transform: its resolution in probability is one in so many.
_KNOTS = 4096
# Rows worked on at a time, which bounds the memory of the design matrix.
_BLOCK = 1 << 12
# Closer to 0 or 1 no sample of up to a million puzzles can tell a probability.
_CLIP = 1e-6


def out_of_fold(
    features: Sequence[ArrayLike], positive: ArrayLike, *, folds: int = 10, repeats: int = 1, seed: int = 0
) -> np.ndarray:
    """Probability of "positive" for each row, from a model fitted without that row (stratified cross-validation).

    Args:
        features: each [N] or [N, m], finite; the columns of one feature share a penalty.
        positive: [N] booleans.
        folds: parts into which the rows of each class are split; 2 or more.
        repeats: partitions over which the probabilities are averaged, against the luck of one partition.
        seed: of the partitions. Equal seeds give equal partitions, so models of the same rows can be compared in pairs.

    Returns:
        [N] probabilities.

    Raises:
        ValueError: shapes that do not match, a value that is not finite, a class with fewer than two members, or
            `folds` or `repeats` out of range.
    """
    positive = np.asarray(positive, dtype=bool)
    blocks = [np.asarray(feature, dtype=float) for feature in features]
    if (
        not blocks
        or positive.ndim != 1
        or any(b.ndim not in (1, 2) or len(b) != positive.size or b.shape[1:] == (0,) for b in blocks)
    ):
        raise ValueError(f"features must be [N] or [N, m] for N = {positive.size}; got {[b.shape for b in blocks]}")
    if min(np.count_nonzero(positive), np.count_nonzero(~positive)) < 2 or folds < 2 or repeats < 1:
        raise ValueError(
            f"cross-validation needs two members of each class, two folds and one repeat; got "
            f"{np.count_nonzero(positive)} positive of {positive.size}, {folds} folds, {repeats} repeats"
        )
    columns = np.column_stack(blocks)
    n_bad = np.count_nonzero(~np.isfinite(columns).all(axis=1))
    if n_bad:
        raise ValueError(f"{n_bad} of {positive.size} rows are not finite; leave those rows out and say how many")
    feature_of_column = np.repeat(np.arange(len(blocks)), [b[0].size for b in blocks])
    rng = np.random.default_rng(seed)
    total = np.zeros(positive.size)
    for _ in range(repeats):
        fold = _stratified_folds(positive, folds, rng)
        for held_out in (fold == k for k in range(folds)):
            z = np.column_stack([_normal_scores(column[~held_out], column) for column in columns.T])
            beta, _ = _fit(z[~held_out], positive[~held_out], feature_of_column)
            total[held_out] += expit(_design(z[held_out]) @ beta)
    return total / repeats


def log_loss(probabilities: ArrayLike, positive: ArrayLike) -> np.ndarray:
    """Minus the log-likelihood of each row, [N], in nats.

    Probabilities are clipped to [1e-6, 1 - 1e-6], so no row costs more than 13.8 nats.
    """
    clipped = np.clip(np.asarray(probabilities, dtype=float), _CLIP, 1 - _CLIP)
    return -np.log(np.where(np.asarray(positive, dtype=bool), clipped, 1 - clipped))


def _stratified_folds(positive: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    """Fold of each row [N], the classes dealt out to the folds in turn, the second going on where the first ended."""
    fold = np.empty(positive.size, dtype=int)
    dealt = np.concatenate([rng.permutation(np.flatnonzero(positive)), rng.permutation(np.flatnonzero(~positive))])
    fold[dealt] = np.arange(positive.size) % folds
    return fold


def _normal_scores(train: np.ndarray, column: np.ndarray) -> np.ndarray:
    """`column` [N] through the map from value to normal quantile of the mid-rank in `train`, linear between its values.

    Values beyond the range of `train` get the score of the nearest value.
    """
    value, count = np.unique(train, return_counts=True)
    score = ndtri((np.cumsum(count) - count / 2) / train.size)
    if value.size > _KNOTS:
        kept = np.linspace(0, value.size - 1, _KNOTS).round().astype(int)
        value, score = value[kept], score[kept]
    return np.interp(column, value, score)


def _design(z: np.ndarray) -> np.ndarray:
    """Columns [rows, 1 + 2 m]: one, the normal scores, and their squares brought to mean 0 and variance 1."""
    return np.column_stack([np.ones(len(z)), z, (z**2 - 1) / np.sqrt(2)])


def _fit(z: np.ndarray, positive: np.ndarray, feature_of_column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients [1 + 2 m] and penalties: Newton's method with step halving, the penalties renewed at each step."""
    feature = np.tile(feature_of_column, 2)  # of each coefficient but the intercept, which is not penalised
    classes = np.flatnonzero(positive), np.flatnonzero(~positive)
    few = np.concatenate([rows[:: -(-rows.size // _START)] for rows in classes])
    if few.size < len(z):
        beta, penalty = _fit(z[few], positive[few], feature_of_column)
        beta[0] += logit(positive.mean()) - logit(positive[few].mean())
    else:
        beta, penalty = np.r_[logit(positive.mean()), np.zeros(feature.size)], np.ones(feature[-1] + 1)
    loss, gradient, hessian = _loss_and_slopes(z, positive, beta)
    for _ in range(200):
        ridge = np.r_[0, penalty[feature]]
        slope = gradient + ridge * beta
        step = np.linalg.solve(hessian + np.diag(ridge), slope)
        if slope @ step / 2 < _DECREMENT:
            break
        penalised = loss + ridge @ beta**2 / 2
        for scale in 0.5 ** np.arange(30):
            trial = beta - scale * step
            loss, gradient, hessian = _loss_and_slopes(z, positive, trial)
            if loss + ridge @ trial**2 / 2 < penalised:
                break
        beta = trial
        shrinkage = ridge * np.linalg.inv(hessian + np.diag(ridge)).diagonal()
        effective = np.bincount(feature, 1 - shrinkage[1:])
        size = np.bincount(feature, beta[1:] ** 2)
        penalty = np.clip(effective / np.maximum(size, np.finfo(float).tiny), *_PENALTIES)
    return beta, penalty


def _loss_and_slopes(z: np.ndarray, positive: np.ndarray, beta: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Summed log-loss, its gradient and its Hessian, summed over blocks of rows."""
    loss, gradient, hessian = 0.0, np.zeros(beta.size), np.zeros((beta.size, beta.size))
    for start in range(0, len(z), _BLOCK):
        x, y = _design(z[start : start + _BLOCK]), positive[start : start + _BLOCK]
        log_odds = x @ beta
        probability = expit(log_odds)
        loss += np.logaddexp(0, np.where(y, -log_odds, log_odds)).sum()
        gradient += x.T @ (probability - y)
        x *= np.sqrt(probability * (1 - probability))[:, None]
        hessian += x.T @ x
    return loss, gradient, hessian
