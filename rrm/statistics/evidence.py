"""All that one measurement says about failure and stability: the ladder, its controls and its null models together."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rrm.statistics.auc_interval import auc_interval
from rrm.statistics.horizon import HorizonPoint, horizon_curve
from rrm.statistics.interval import Interval
from rrm.statistics.ladder import Ladder, ladder
from rrm.statistics.matched import drift_decile_auc, label_shuffle, stop_time_matched_auc
from rrm.statistics.settling import (
    Mobility,
    SettlingSweep,
    SettlingTable,
    late_drift,
    mobility,
    settle_time,
    settling_sweep,
    settling_table,
)
from rrm.statistics.transient_chaos import matched_eps, transient_chaos, transient_chaos_auc

# Segments left out before settling when exponents are matched on the stopping time: settling selects the last ones.
LEAD = 2


@dataclass(frozen=True, eq=False)
class Examples:
    """What was measured on N puzzles over T segments; rows that are not finite are left out before, counted.

    Attributes:
        lambda_spectrum: [N, k] exponents over the whole window, leading first, nats per call.
        lambda_segments: [N, T] local lambda_1, nats per segment.
        drift: [N, T] z_H drift, state units per segment.
        solved_at: [N, T] booleans, exact answers after each segment.
        confidence: by name, [N] each at the last segment, higher for "failed": Q head, margin, entropy, ...
        violations: [N] broken constraints of the last answer. Where the solution is unique they are the outcome itself,
            and nothing is left for another score to add.
        covariant: [N, m] features of covariant vectors, or None where they were not computed.
        untrained: [N] lambda_1 of an untrained network on the same puzzles, nan where it was not measured.
    """

    lambda_spectrum: np.ndarray
    lambda_segments: np.ndarray
    drift: np.ndarray
    solved_at: np.ndarray
    confidence: Mapping[str, np.ndarray]
    violations: np.ndarray
    covariant: np.ndarray | None = None
    untrained: np.ndarray | None = None

    @property
    def failed(self) -> np.ndarray:
        """[N] booleans, at the last segment."""
        return ~self.solved_at[:, -1]


@dataclass(frozen=True, eq=False)
class Evidence:
    """See the modules the parts come from; None (or nan intervals) where a class or a threshold is missing.

    Attributes:
        n, n_failed: puzzles, failed ones among them.
        ladders: by what the null scores are, each with lambda_1, the spectrum and the covariant vectors on top:
            "convergence" (late drift and settling time), "convergence and confidence", and those with the violations
            of the answer. None where a class is too small.
        controls: AUCs of lambda_1 among comparable pairs.
        control_nulls: for each control, the AUC of something that is known to say nothing more.
        nulls: AUCs that say nothing about stability, beside which lambda_1's own has to stand.
        horizon: AUCs by window.
        late_drift: [N], state units per segment.
        table, sweep, mobility: settled against correct.
    """

    n: int
    n_failed: int
    ladders: dict[str, Ladder | None]
    controls: dict[str, Interval]
    control_nulls: dict[str, Interval]
    nulls: dict[str, Interval]
    horizon: list[HorizonPoint]
    late_drift: np.ndarray
    table: SettlingTable | None
    sweep: SettlingSweep | None
    mobility: Mobility | None


def evidence(examples: Examples, *, seed: int = 0) -> Evidence:
    """The evidence of `examples`; `seed` is that of the cross-validation.

    Raises:
        ValueError: shapes that do not match, or values that are not finite.
    """
    failed, lambda_1 = examples.failed, examples.lambda_spectrum[:, 0]
    drift = late_drift(examples.drift)
    segments = examples.drift.shape[1]
    table = settling_table(drift, ~failed) if np.unique(drift[drift > 0]).size > 1 else None
    convergence = {"late drift": drift}
    if table is not None:
        convergence["settling time"] = settle_time(examples.drift, table.tau)
    confident = convergence | dict(examples.confidence)
    bases = {
        "convergence": convergence,
        "convergence and confidence": confident,
        "convergence, confidence and violations": confident | {"violations": examples.violations},
    }
    added = {"lambda_1": lambda_1}
    if examples.lambda_spectrum.shape[1] > 1:
        added["spectrum"] = examples.lambda_spectrum[:, 1:]
    if examples.covariant is not None:
        added["covariant vectors"] = examples.covariant
    controls, control_nulls, nulls = {}, {}, {}
    if 0 < np.count_nonzero(failed) < failed.size:
        within = "within deciles of late drift"
        controls[within] = drift_decile_auc(lambda_1, failed, drift)
        control_nulls[within] = drift_decile_auc(drift, failed, drift)
        nulls = {
            "labels shuffled": label_shuffle(lambda_1, failed),
            "transient chaos": transient_chaos_auc(float(1 - failed.mean()), segments),
        }
        if examples.untrained is not None and (known := np.isfinite(examples.untrained)).any():
            nulls["untrained network"] = auc_interval(examples.untrained[known], failed[known])
        if table is not None and segments > LEAD:
            before = f"before settling, {LEAD} segments ahead"
            cumulative = np.cumsum(examples.lambda_segments, 1) / np.arange(1, segments + 1)
            controls[before] = stop_time_matched_auc(
                cumulative, failed, settle_time(examples.drift, table.tau), lead=LEAD
            )
            control_nulls[before] = _toy_before_settling(float(1 - failed.mean()), segments)
    return Evidence(
        n=failed.size,
        n_failed=int(np.count_nonzero(failed)),
        ladders={name: ladder(base, added, failed, seed=seed) for name, base in bases.items()},
        controls=controls,
        control_nulls=control_nulls,
        nulls=nulls,
        horizon=horizon_curve(examples.lambda_segments, examples.drift, examples.solved_at),
        late_drift=drift,
        table=table,
        sweep=settling_sweep(drift, ~failed),
        mobility=mobility(drift, ~failed),
    )


def _toy_before_settling(success_rate: float, segments: int) -> Interval:
    """`stop_time_matched_auc` of the toy, whose first quiet step is the one after its capture."""
    toy = transient_chaos(20_000, segments, matched_eps(success_rate, segments))
    stop = np.minimum(toy.capture_time + 1, segments + 1)
    return stop_time_matched_auc(toy.lambda_cumulative, ~toy.captured, stop, lead=LEAD)
