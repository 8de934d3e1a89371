"""The null ladder: does an exponent say more than the scores that only detect convergence?

Each score alone, then all null scores (late drift, Q head, margin, ...) in one model, then the exponents on top of all
of them, one after another, by held-out log-loss and AUC on the same puzzles. The intervals are closed-form and over
puzzles, the fitted models taken as given: they cover neither the refitting nor the spread between training runs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import chi2

from rrm.statistics.auc_interval import auc_difference_interval, auc_interval
from rrm.statistics.interval import Interval
from rrm.statistics.logistic import log_loss, out_of_fold
from rrm.statistics.means import mean_interval, positive_mean_interval
from rrm.statistics.outcomes import shortage

# One member of each class in each of ten folds.
MIN_LADDER_CLASS = 10
# Fewer rows than this are partitioned several times, at most five, so that the luck of a partition averages out.
_REPEATED_ROWS = 10_000
# Nats that one useless coefficient gains in sample in 5 % of samples (likelihood ratio test). A smaller gain over all
# puzzles together is numerical, however narrow its interval: penalties are found to a tolerance.
_MEASURABLE = chi2.ppf(0.95, 1) / 2


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
        name: of what this model has and the one below has not.
        log_loss: held-out, nats per puzzle.
        auc: of the held-out probabilities.
        gain: log-loss of the model below minus `log_loss`, paired; positive is better.
        auc_gain: `auc` minus that of the model below, paired.
    """

    name: str
    log_loss: Interval
    auc: Interval
    gain: Interval
    auc_gain: Interval

    @property
    def adds(self) -> bool:
        """The gain is above 0 beyond sampling error, and above the tolerance of the fits."""
        return self.gain.low > 0 and self.gain.n * self.gain.estimate > _MEASURABLE


@dataclass(frozen=True)
class Ladder:
    """What each score says about failure, alone and beyond the others.

    Attributes:
        n, n_failed: puzzles, and failed ones among them.
        prevalence_log_loss: nats per puzzle of knowing the success rate alone, the entropy of the outcome.
        rungs: every score alone, null scores first, in the order given.
        base: the model of all null scores, its gain counted from the success rate (and its AUC from 0.5).
        steps: what is added to it, one after another.
    """

    n: int
    n_failed: int
    prevalence_log_loss: float
    rungs: tuple[Rung, ...]
    base: Step
    steps: tuple[Step, ...]


def ladder(
    base: Mapping[str, ArrayLike], added: Mapping[str, ArrayLike], failed: ArrayLike, *, seed: int = 0
) -> Ladder | None:
    """Scores alone and nested, with the cross-validated models of `out_of_fold`.

    Args:
        base: null scores by name, [N] each, higher for "failed"; the one to be quoted beside the exponent comes first.
        added: exponents by name, [N] each, higher for "failed", or vectors [N, m] such as a spectrum, in the order in
            which they are put on top of all of `base`; lambda_1 comes first.
        failed: [N] booleans.
        seed: of the partitions of the cross-validation.

    Returns:
        The ladder, or None where fewer than 10 puzzles are failed or fewer than 10 are solved.

    Raises:
        ValueError: no score on a side, shapes that do not match, or rows that are not finite.
    """
    failed = np.asarray(failed, dtype=bool)
    scores = {name: np.asarray(score, dtype=float) for name, score in (*base.items(), *added.items())}
    if not base or not added or len(scores) < len(base) + len(added):
        raise ValueError(f"needs a null score and an added one under different names; got {[*base]} and {[*added]}")
    for name, score in scores.items():
        if failed.ndim != 1 or score.shape[:1] != failed.shape or score.ndim > (1 if name in base else 2):
            raise ValueError(f"{name} has shape {score.shape} for outcomes {failed.shape}; null scores must be [N]")
        n_bad = np.count_nonzero(~np.isfinite(score).all(axis=tuple(range(1, score.ndim))))
        if n_bad:
            raise ValueError(f"{name}: {n_bad} of {failed.size} rows are not finite; leave those puzzles out, counted")
    if shortage(~failed, MIN_LADDER_CLASS):
        return None
    repeats = int(np.clip(_REPEATED_ROWS // failed.size, 1, 5))

    def held_out(names: Sequence[str]) -> np.ndarray:
        return out_of_fold([scores[name] for name in names], failed, repeats=repeats, seed=seed)

    known = [*base]
    rungs = tuple(_rung(name, score, held_out([name]), failed) for name, score in scores.items())
    prevalence, below = np.full(failed.size, failed.mean()), held_out(known)
    base_step, steps = _step(f"all {len(base)} null scores", prevalence, below, failed), []
    for name in added:
        known.append(name)
        above = held_out(known)
        steps.append(_step(name, below, above, failed))
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
    """What the first added score is worth beside the first null score, and beyond all of them, for people.

    `nulls` says what the null scores amount to.
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
        f"given these, {words} (95 % intervals over puzzles)."
    )


def ladder_lines(found: Ladder) -> list[dict[str, str]]:
    """The rows of a table with the columns score, AUC, log-loss and gain (both in nats per puzzle)."""
    lines = [_line("success rate alone", log_loss=f"{found.prevalence_log_loss:.4f}")]
    lines += [_line(f"{rung.name} alone", f"{rung.auc:.3f}", f"{rung.log_loss:.4f}") for rung in found.rungs]
    for step in (found.base, *found.steps):
        name = step.name if step is found.base else f"+ {step.name}"
        lines.append(_line(name, f"{step.auc:.3f}", f"{step.log_loss:.4f}", f"{step.gain:+.5f}"))
    return lines


def _rung(name: str, score: np.ndarray, probabilities: np.ndarray, failed: np.ndarray) -> Rung:
    ranked = score if score.ndim == 1 else probabilities
    return Rung(name, auc_interval(ranked, failed), positive_mean_interval(log_loss(probabilities, failed)))


def _step(name: str, below: np.ndarray, above: np.ndarray, failed: np.ndarray) -> Step:
    loss_below, loss = log_loss(below, failed), log_loss(above, failed)
    return Step(
        name=name,
        log_loss=positive_mean_interval(loss),
        auc=auc_interval(above, failed),
        gain=mean_interval(loss_below - loss),
        auc_gain=auc_difference_interval(above, below, failed),
    )


def _step_words(step: Step, nulls: str) -> str:
    if step.adds:
        return f"{step.name} lowers it by {step.gain:.5f}"
    return f"{step.name} adds nothing measurable beyond {nulls} (gain {step.gain:+.5f})"


def _line(score: str, auc: str = "", log_loss: str = "", gain: str = "") -> dict[str, str]:
    return {"score": score, "AUC": auc, "log-loss": log_loss, "gain": gain}
