"""The puzzles of one trained model, and AUCs of the exponent and the drift for failed against solved puzzles."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from rrm.statistics.auc_interval import auc_difference_interval, auc_interval
from rrm.statistics.interval import Interval

# Fewest members of a class for an AUC interval; with fewer it speaks of a handful of puzzles.
MIN_CLASS = 5


@dataclass(frozen=True, eq=False)
class OutcomePanel:
    """Stability and outcome of every puzzle of one trained model.

    Attributes:
        label: name of the model, as a figure prints it.
        lambda_spectrum: [N, k] finite-time Lyapunov exponents, leading first, in nats per call.
        solved: [N] booleans, exact answers.
        late_drift: [N] mean drift over the last segments, in state units per segment.
        left_out: puzzles that are not among the N because a number of theirs is not finite.

    Raises:
        ValueError: shapes that do not match, k = 0, or values that are not finite.
    """

    label: str
    lambda_spectrum: np.ndarray
    solved: np.ndarray
    late_drift: np.ndarray
    left_out: int = 0

    @classmethod
    def of_finite(
        cls, label: str, lambda_spectrum: ArrayLike, solved: ArrayLike, late_drift: ArrayLike, finite: ArrayLike | None
    ) -> "OutcomePanel":
        """The puzzles whose numbers are finite; the others are left out, counted.

        Args:
            label, lambda_spectrum, solved, late_drift: as the attributes, before anything is left out.
            finite: [N] booleans, the rollout stayed finite; None where the source did not keep them.
        """
        spectrum, drift = np.asarray(lambda_spectrum, float), np.asarray(late_drift, float)
        rows = np.isfinite(spectrum).all(1) & np.isfinite(drift)
        if finite is not None:
            rows &= finite
        return cls(label, spectrum[rows], np.asarray(solved)[rows], drift[rows], int(np.count_nonzero(~rows)))

    def __post_init__(self) -> None:
        for name, dtype in (("lambda_spectrum", float), ("solved", bool), ("late_drift", float)):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=dtype))
        shapes = self.lambda_spectrum.shape, self.solved.shape, self.late_drift.shape
        n = self.solved.size
        if self.lambda_spectrum.ndim != 2 or self.lambda_spectrum.shape[1] == 0 or shapes != (shapes[0], (n,), (n,)):
            raise ValueError(f"{self.label}: needs lambda_spectrum [N, k], solved [N], late_drift [N]; got {shapes}")
        if len(self.lambda_spectrum) != n:
            raise ValueError(f"{self.label}: {len(self.lambda_spectrum)} spectra for {n} outcomes")
        if not (np.isfinite(self.lambda_spectrum).all() and np.isfinite(self.late_drift).all()):
            raise ValueError(f"{self.label}: exponents and drifts must be finite; leave other puzzles out, counted")

    @property
    def lambda_1(self) -> np.ndarray:
        """[N] leading exponent, nats per call."""
        return self.lambda_spectrum[:, 0]

    @property
    def failed(self) -> np.ndarray:
        """[N] booleans."""
        return ~self.solved


@dataclass(frozen=True)
class Separation:
    """AUCs of high scores for "failed"; every interval is over puzzles.

    Attributes:
        lambda_1: AUC of the leading exponent.
        late_drift: AUC of late drift.
        difference: AUC of the exponent minus AUC of the drift, paired.
    """

    lambda_1: Interval
    late_drift: Interval
    difference: Interval


def separation(panel: OutcomePanel) -> Separation | None:
    """AUCs of `panel` for "failed" with 95 % intervals, or None where `class_shortage` finds too few."""
    if class_shortage(panel):
        return None
    return Separation(
        lambda_1=auc_interval(panel.lambda_1, panel.failed),
        late_drift=auc_interval(panel.late_drift, panel.failed),
        difference=auc_difference_interval(panel.lambda_1, panel.late_drift, panel.failed),
    )


def class_shortage(panel: OutcomePanel) -> str | None:
    """The class with too few members (fewer than 5) for an AUC, in words; None when both have enough."""
    return shortage(panel.solved, MIN_CLASS)


def shortage(solved: np.ndarray, at_least: int) -> str | None:
    """The class of `solved` [N] with fewer members than `at_least`, in words; None when both have enough."""
    short = []
    for name, members in (("solved", solved), ("failed", ~solved)):
        n = np.count_nonzero(members)
        if n < at_least:
            short.append(f"{f'only {n}' if n else 'none'} of {members.size} {name}")
    return " and ".join(short) or None
