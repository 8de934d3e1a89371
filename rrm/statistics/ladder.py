"""The null ladder: does an exponent say more than the scores that only detect convergence?

Each score alone, then all null scores (late drift, Q head, margin, ...) in one model, then the exponents on top of all
of them, one after another, by held-out log-loss and AUC on the same puzzles. The intervals are closed-form and over
puzzles, the fitted models taken as given: they cover neither the refitting nor the spread between training runs. Where
a score says nothing, the interval of its gain holds the mean gain over samples in 54 to 70 % of them, in 93 % for a
strong score and 500 puzzles (`tests/benchmarks/coverage.py`).

Scores are blunt. An exponent that measures convergence once more helps a model whose own scores of convergence are
noisy, although the exponent knows nothing else. So each gain stands beside the gains of null exponents, which know
convergence alone, on the same puzzles and by the same fits. A gain counts only if it beats both 0 and the null.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t as student

from rrm.statistics.auc_interval import auc_interval
from rrm.statistics.detectable_gain import MEASURABLE, NO_NULL, Null, detectable_gain
from rrm.statistics.interval import Interval
from rrm.statistics.logistic import log_loss, out_of_fold
from rrm.statistics.means import draws_interval, mean_interval, positive_mean_interval
from rrm.statistics.outcomes import shortage

# One member of each class in each of ten folds.
MIN_LADDER_CLASS = 10
# Fewer rows than this are partitioned twice, so that the luck of a partition averages out.
_REPEATED_ROWS = 4_000


@dataclass(frozen=True)
class Rung:
    """One score alone.

    Attributes:
        name: of the score.
        auc: of the raw score for "failed", or of the held-out probabilities where the score is a vector.
        log_loss: held-out, nats per puzzle.
    """

    name: str
    auc: Interval
    log_loss: Interval


@dataclass(frozen=True)
class Step:
    """A model of several scores, compared with the one below it on the same puzzles.

    Attributes:
        name: of the score that this model adds to the one below.
        log_loss: held-out, nats per puzzle.
        auc: of the held-out probabilities.
        gain: log-loss of the model below minus `log_loss`, paired; positive is better.
        null_gain: mean gain of null exponents, with the range of 95 % of them; None without null exponents.
        p: two-sided p-value of the hypothesis that the gain is no larger than 0, or no larger than that of the null.
        tests: number of comparisons that the correction covers.
        detectable: gain that would have been found with a power of 80 %, nats per puzzle.
    """

    name: str
    log_loss: Interval
    auc: Interval
    gain: Interval
    null_gain: Interval | None
    p: float
    tests: int
    detectable: float

    @property
    def p_corrected(self) -> float:
        """`p` after Bonferroni's correction."""
        return min(1.0, self.p * self.tests)

    @property
    def adds(self) -> bool:
        """The gain beats 0 and the null after correction, and is above the tolerance of the fits."""
        return self.p_corrected < 0.05 and self.gain.n * self.gain.estimate > MEASURABLE


@dataclass(frozen=True)
class Ladder:
    """The information of each score about failure, alone and beyond the others.

    Attributes:
        n, n_failed: puzzles, and failed ones among them.
        prevalence_log_loss: nats per puzzle of knowing the success rate alone, the entropy of the outcome.
        rungs: every score alone, null scores first, in the order given.
        base: the model of all null scores, its gain counted from the success rate (and its AUC from 0.5).
        steps: the models with one more score each.
    """

    n: int
    n_failed: int
    prevalence_log_loss: float
    rungs: tuple[Rung, ...]
    base: Step
    steps: tuple[Step, ...]


def ladder(
    base: Mapping[str, ArrayLike],
    added: Mapping[str, ArrayLike],
    failed: ArrayLike,
    *,
    nulls: Sequence[Mapping[str, ArrayLike]] = (),
    tests: int | None = None,
    seed: int = 0,
) -> Ladder | None:
    """Scores alone and nested, with the cross-validated models of `out_of_fold`.

    Args:
        base: null scores by name, [N] each, higher for "failed", or vectors [N, m] such as the drift of every segment;
            the one to be quoted beside the exponent comes first and is [N].
        added: exponents by name, [N] or [N, m] likewise, in the order in which they are put on top of all of `base`;
            lambda_1 comes first.
        failed: [N] booleans.
        nulls: null exponents in the place of `added`, such as of `convergence_null`: two draws or more, each by name.
            A missing name ends the comparison with the null there.
        tests: comparisons that are corrected for; the number of `added` if None.
        seed: of the partitions of the cross-validation.

    Returns:
        The ladder, or None where fewer than 10 puzzles are failed or fewer than 10 are solved.

    Raises:
        ValueError: no score on a side, shapes that do not match, rows that are not finite, or a single null.
    """
    failed = np.asarray(failed, dtype=bool)
    scores = {name: np.asarray(score, dtype=float) for name, score in (*base.items(), *added.items())}
    if not base or not added or len(scores) < len(base) + len(added):
        raise ValueError(f"needs a null score and an added one under different names; got {[*base]} and {[*added]}")
    if len(nulls) == 1:
        raise ValueError("one draw of the null says nothing of its spread: give two or more, or none")
    for name, score in scores.items():
        if failed.ndim != 1 or score.shape[:1] != failed.shape or score.ndim > (1 if name == next(iter(base)) else 2):
            raise ValueError(f"{name} has shape {score.shape} for outcomes {failed.shape}: [N], or [N, m] if not first")
        n_bad = np.count_nonzero(~np.isfinite(score).all(axis=tuple(range(1, score.ndim))))
        if n_bad:
            raise ValueError(f"{name}: {n_bad} of {failed.size} rows are not finite; leave those puzzles out, counted")
    if shortage(~failed, MIN_LADDER_CLASS):
        return None
    repeats = 2 if failed.size < _REPEATED_ROWS else 1

    def held_out(features: Sequence[np.ndarray]) -> np.ndarray:
        return out_of_fold(features, failed, repeats=repeats, seed=seed)

    rungs = tuple(_rung(name, score, held_out([score]), failed) for name, score in scores.items())
    known = [scores[name] for name in base]
    prevalence, below = np.full(failed.size, failed.mean()), held_out(known)
    tests = len(added) if tests is None else tests
    base_step, steps = _step(f"all {len(base)} null scores", prevalence, below, failed, None, 1), []
    known_of_null, below_of_null = [[*known] for _ in nulls], [below for _ in nulls]
    for name in added:
        null_gains = None
        if nulls and all(name in null for null in nulls):
            for features, null in zip(known_of_null, nulls, strict=True):
                features.append(np.asarray(null[name], dtype=float))
            above_of_null = [held_out(features) for features in known_of_null]
            pairs = zip(below_of_null, above_of_null, strict=True)
            null_gains = np.stack([_gain(lower, upper, failed) for lower, upper in pairs])
            below_of_null = above_of_null
        known.append(scores[name])
        above = held_out(known)
        steps.append(_step(name, below, above, failed, null_gains, tests))
        below = above
    return Ladder(
        n=failed.size,
        n_failed=int(np.count_nonzero(failed)),
        prevalence_log_loss=float(log_loss(prevalence, failed).mean()),
        rungs=rungs,
        base=base_step,
        steps=tuple(steps),
    )


def ladder_sentence(label: str, found: Ladder | None, nulls: str = "convergence detection") -> str:
    """A sentence on the first added score beside the first null score, and beyond all of them.

    `nulls` names the null scores together.
    """
    if found is None:
        return (
            f"{label}: fewer than {MIN_LADDER_CLASS} failed or fewer than {MIN_LADDER_CLASS} solved puzzles, so "
            "nothing can be said about what an exponent adds to the null scores."
        )
    alone = {rung.name: rung for rung in found.rungs}
    exponent, null = alone[found.steps[0].name], found.rungs[0]
    words = ", then ".join(_step_words(step, nulls) for step in found.steps)
    return (
        f"{label}: {exponent.name} alone has AUC {exponent.auc:.3f} for {found.n_failed} failed of {found.n} puzzles, "
        f"{null.name} alone {null.auc:.3f}. With {found.base.name} the held-out log-loss is "
        f"{found.base.log_loss:.4f} nats per puzzle ({found.prevalence_log_loss:.4f} from the success rate alone); "
        f"given these, {words} (95 % intervals over puzzles, the fits taken as given"
        f"{_null_words(found)})."
    )


def _null_words(found: Ladder) -> str:
    known = any(step.null_gain for step in found.steps)
    return "; the null are exponents that know nothing but when the search ended" if known else ""


def ladder_lines(found: Ladder) -> list[dict[str, str]]:
    """The rows of a table with the columns score, AUC, and in nats per puzzle log-loss, gain and gain of the null."""
    lines = [_line("success rate alone", log_loss=f"{found.prevalence_log_loss:.4f}")]
    lines += [_line(f"{rung.name} alone", f"{rung.auc:.3f}", f"{rung.log_loss:.4f}") for rung in found.rungs]
    for step in (found.base, *found.steps):
        name = step.name if step is found.base else f"+ {step.name}"
        null = f"{step.null_gain:+.5f}" if step.null_gain else ""
        lines.append(_line(name, f"{step.auc:.3f}", f"{step.log_loss:.4f}", f"{step.gain:+.5f}", null))
    return lines


def _rung(name: str, score: np.ndarray, probabilities: np.ndarray, failed: np.ndarray) -> Rung:
    ranked = score if score.ndim == 1 else probabilities
    return Rung(name, auc_interval(ranked, failed), positive_mean_interval(log_loss(probabilities, failed)))


def _gain(below: np.ndarray, above: np.ndarray, failed: np.ndarray) -> np.ndarray:
    """Fall of the log-loss of each puzzle, [N]."""
    return log_loss(below, failed) - log_loss(above, failed)


def _step(
    name: str, below: np.ndarray, above: np.ndarray, failed: np.ndarray, null_gains: np.ndarray | None, tests: int
) -> Step:
    """The comparison of two models by their probabilities [N]; `null_gains`: [draws, N] gains of null exponents."""
    gain = _gain(below, above, failed)
    p, null_gain, null = _p_value(gain), None, NO_NULL
    if null_gains is not None:
        null_gain, null = draws_interval(null_gains.mean(1), failed.size), Null.of_draws(null_gains.mean(1))
        p = max(p, _p_value(gain - null_gains.mean(0), null))
    return Step(
        name=name,
        log_loss=positive_mean_interval(log_loss(above, failed)),
        auc=auc_interval(above, failed),
        gain=mean_interval(gain),
        null_gain=null_gain,
        p=p,
        tests=tests,
        detectable=detectable_gain(below, failed, null, 1 - 0.05 / tests)[1],
    )


def _p_value(excess: np.ndarray, null: Null = NO_NULL) -> float:
    """Two-sided p-value of a mean [N] above 0, or above one more draw of the null; 1 for a mean that is not above 0."""
    error, df = null.error(excess.var(ddof=1) / excess.size, excess.size)
    if excess.mean() <= 0 or error == 0:
        return 1.0
    return float(2 * student.sf(excess.mean() / error, df))


def _step_words(step: Step, nulls: str) -> str:
    null = f"; that of the null {step.null_gain.estimate:+.5f}" if step.null_gain else ""
    corrected = f" after correction for {step.tests} comparisons" if step.tests > 1 else ""
    if step.adds:
        return f"{step.name} lowers it{corrected} (gain {step.gain:+.5f}{null})"
    missed = "none" if np.isnan(step.detectable) else f"about {step.detectable:.5f}"
    return (
        f"{step.name} adds nothing measurable beyond {nulls}{corrected} (gain {step.gain:+.5f}{null}; {missed} would "
        "have been found 4 times in 5)"
    )


def _line(score: str, auc: str = "", log_loss: str = "", gain: str = "", null: str = "") -> dict[str, str]:
    return {"score": score, "AUC": auc, "log-loss": log_loss, "gain": gain, "gain of the null": null}
