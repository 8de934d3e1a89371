"""The evidence of one measurement on failure and stability: the ladder, its controls and its null models."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rrm.statistics.auc import auc
from rrm.statistics.auc_interval import auc_interval
from rrm.statistics.convergence_null import convergence_null
from rrm.statistics.horizon import HorizonPoint, horizon_curve
from rrm.statistics.interval import Interval
from rrm.statistics.ladder import Ladder, ladder
from rrm.statistics.matched import drift_decile_auc, label_shuffle, stop_time_matched_auc
from rrm.statistics.means import draws_interval
from rrm.statistics.outcomes import MIN_CLASS, shortage
from rrm.statistics.settling import (
    SettlingSweep,
    SettlingTable,
    lasts_from,
    late_drift,
    settle_time,
    settling_sweep,
    settling_table,
)

# Segments left out before settling, and before the answer, when exponents are matched on either: the event selects the
# last segments before it. Settling itself comes a few segments after the answer.
SETTLING_LEADS, ANSWER_LEADS = (1, 2, 3, 4), (1, 2, 3)
# Name of the AUC of late drift itself within its deciles: a control within deciles has to beat this AUC too.
DRIFT_FLOOR = "late drift within its deciles"
BEFORE_SETTLING, BEFORE_ANSWER = "before settling", "before the answer"
# Draws of the null: for AUCs, and for the ladder, where each costs a cross-validation a step.
_AUC_DRAWS, _LADDER_DRAWS = 20, 6


@dataclass(frozen=True, eq=False)
class Examples:
    """A measurement on N puzzles over T segments. The caller leaves out rows that are not finite, and counts them.

    Attributes:
        lambda_spectrum: [N, k] exponents over the whole window, leading first, nats per call.
        lambda_segments: [N, T] local lambda_1, nats per segment.
        drift, drift_L: [N, T] z_H and z_L drift, state units per segment; without drift_L the drift of z_H alone
            measures convergence.
        solved_at: [N, T] booleans, exact answers after each segment.
        confidence: by name, [N] each at the last segment, higher for "failed": Q head, margin, entropy, ...
        violations: [N] broken constraints of the last answer. Where the solution is unique, violations are the outcome
            itself, and no other score can add to them.
        covariant: [N, m] features of covariant vectors, or None where they were not computed.
        untrained: [N] lambda_1 of an untrained network on the same puzzles, nan where it was not measured.
        transient: segments that `lambda_spectrum` leaves out at the start.
    """

    lambda_spectrum: np.ndarray
    lambda_segments: np.ndarray
    drift: np.ndarray
    solved_at: np.ndarray
    confidence: Mapping[str, np.ndarray]
    violations: np.ndarray
    covariant: np.ndarray | None = None
    untrained: np.ndarray | None = None
    drift_L: np.ndarray | None = None
    transient: int = 0

    @property
    def failed(self) -> np.ndarray:
        """[N] booleans, at the last segment."""
        return ~self.solved_at[:, -1]


@dataclass(frozen=True, eq=False)
class Evidence:
    """Parts of several modules; None (or nan intervals) where a class or a threshold is missing.

    Attributes:
        n, n_failed: puzzles, failed ones among them.
        ladders: by the name of the null scores, each with lambda_1, the spectrum and the covariant vectors on top:
            "convergence" (late drift, settling time and the drift of every segment), "convergence and confidence", and
            "convergence, confidence and violations" (of the answer). None where a class is too small.
        controls: AUCs of lambda_1 among comparable pairs.
        control_nulls: for each control, the mean of `convergence_null` under the same control, and the range of 95 % of
            its draws.
        nulls: AUCs without information on stability, for comparison with the AUC of lambda_1; "transient chaos" is the
            AUC of `convergence_null`.
        lag: segments by which settling follows the answer, median over solved puzzles that settle; nan without any.
        horizon: AUCs by window.
        late_drift: [N], state units per segment.
        table, sweep: settled against correct.
    """

    n: int
    n_failed: int
    ladders: dict[str, Ladder | None]
    controls: dict[str, Interval]
    control_nulls: dict[str, Interval]
    nulls: dict[str, Interval]
    lag: float
    horizon: list[HorizonPoint]
    late_drift: np.ndarray
    table: SettlingTable | None
    sweep: SettlingSweep | None


def evidence(examples: Examples, *, seed: int = 0) -> Evidence:
    """The evidence of `examples`; `seed` is that of the cross-validation and of the null.

    Raises:
        ValueError: shapes that do not match, or values that are not finite.
    """
    failed, lambda_1 = examples.failed, examples.lambda_spectrum[:, 0]
    segments = examples.drift.shape[1]
    drift, answered = late_drift(examples.drift), lasts_from(examples.solved_at)
    table = settling_table(drift, ~failed) if np.unique(drift[drift > 0]).size > 1 else None
    settled = None if table is None else settle_time(examples.drift, table.tau)
    convergence = {"late drift": drift}
    if settled is not None:
        convergence["settling time"] = settled
    halves = [half for half in (examples.drift, examples.drift_L) if half is not None]
    convergence["drift of every segment"] = np.concatenate(halves, axis=1)
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

    controls, control_nulls, nulls, draws, stand_ins = {}, {}, {}, [], []
    if not shortage(~failed, MIN_CLASS):
        rng = np.random.default_rng(seed)
        ended, stays = search_ends(examples)
        draws = [convergence_null(examples.lambda_segments, ended, rng, stays) for _ in range(_AUC_DRAWS)]
        leading = [rates[:, examples.transient :].mean(1) for rates in draws]
        controls = _controls(lambda_1, examples.lambda_segments, failed, drift, settled, answered)
        drawn = [_controls(*of_draw, failed, drift, settled, answered) for of_draw in zip(leading, draws, strict=True)]
        control_nulls = {
            name: draws_interval([draw[name].estimate for draw in drawn], value.n) for name, value in controls.items()
        }
        nulls = {
            "labels shuffled": label_shuffle(lambda_1, failed),
            "transient chaos": draws_interval([auc(score, failed) for score in leading], failed.size),
            DRIFT_FLOOR: drift_decile_auc(drift, failed, drift),
        }
        if examples.untrained is not None and (known := np.isfinite(examples.untrained)).any():
            nulls["untrained network"] = auc_interval(examples.untrained[known], failed[known])
        stand_ins = [_stand_in(examples, ended, stays, rng) for _ in range(_LADDER_DRAWS)]
    tests = len(bases) * len(added)
    ladders: dict[str, Ladder | None] = {}
    for name, base in bases.items():
        # Without confidence two of the bases are the same.
        same = next((known for known in ladders if bases[known].keys() == base.keys()), None)
        ladders[name] = ladders[same] if same else ladder(base, added, failed, nulls=stand_ins, tests=tests, seed=seed)
    return Evidence(
        n=failed.size,
        n_failed=int(np.count_nonzero(failed)),
        ladders=ladders,
        controls=controls,
        control_nulls=control_nulls,
        nulls=nulls,
        lag=_lag(settled, answered, segments),
        horizon=horizon_curve(examples.lambda_segments, examples.drift, examples.solved_at, nulls=draws),
        late_drift=drift,
        table=table,
        sweep=settling_sweep(drift, ~failed),
    )


def search_ends(examples: Examples) -> tuple[np.ndarray, np.ndarray]:
    """The segment [N] that ended each search, T + 1 for an endless one, and whether [N] a right answer stays at once.

    A right answer ends the search when it is first found. One that is lost and found again, for good or by a wavering
    readout, leaves a rollout of another kind than one that stays.
    """
    failed, segments, drift = examples.failed, examples.drift.shape[1], late_drift(examples.drift)
    ended = np.where(failed, segments + 1, examples.solved_at.argmax(1) + 1)
    stays = ended == lasts_from(examples.solved_at)
    if np.unique(drift[drift > 0]).size > 1:
        tau = settling_table(drift, ~failed).tau
        ended = _search_end(ended, settle_time(examples.drift, tau), drift <= tau, segments)
    return ended, stays


def control_sentence(label: str, found: Evidence) -> str:
    """Whether lambda_1 tells failed from solved before the answer comes, beside the null of the same control.

    The verdict is on the last segment before the answer; the numbers of earlier segments are no test.
    """
    before = {lead: _before(BEFORE_ANSWER, lead) for lead in ANSWER_LEADS if found.controls}
    known = {lead: name for lead, name in before.items() if math.isfinite(found.controls[name].low)}
    if ANSWER_LEADS[0] not in known:
        return f"{label}: too few puzzles to say whether lambda_1 tells failed from solved before the answer comes."
    last, null = found.controls[known[ANSWER_LEADS[0]]], found.control_nulls[known[ANSWER_LEADS[0]]]
    verdict = "does not measurably tell failed from solved"
    if last.low > max(0.5, null.high):
        verdict = "tells failed from solved"
    elif last.high < min(0.5, null.low):
        verdict = "tells failed from solved in the unexpected direction (failed puzzles have the smaller exponent)"
    earlier = "".join(
        f"; {lead} segments ahead {found.controls[name]:.3f}, null {found.control_nulls[name]:.3f}"
        for lead, name in known.items()
        if lead > ANSWER_LEADS[0]
    )
    late = "" if math.isnan(found.lag) else f" Settling follows the answer by {found.lag:g} segments in the median."
    return (
        f"{label}: {BEFORE_ANSWER} comes, lambda_1 {verdict} (AUC of all segments before {last:.3f}, "
        f"null {null:.3f}{earlier}; 95 % intervals over puzzles).{late}"
    )


def _before(event: str, lead: int) -> str:
    return f"{event}, {lead} segment{'s' if lead > 1 else ''} ahead"


def _controls(
    lambda_1: np.ndarray,
    lambda_segments: np.ndarray,
    failed: np.ndarray,
    drift: np.ndarray,
    settled: np.ndarray | None,
    answered: np.ndarray,
) -> dict[str, Interval]:
    """AUCs of an exponent [N] with local values [N, T] among comparable pairs; measured and null ones pass here."""
    segments = lambda_segments.shape[1]
    found = {"within deciles of late drift": drift_decile_auc(lambda_1, failed, drift)}
    cumulative = np.cumsum(lambda_segments, 1) / np.arange(1, segments + 1)
    events = [(BEFORE_SETTLING, settled, SETTLING_LEADS)] if settled is not None else []
    for event, stop, leads in [*events, (BEFORE_ANSWER, answered, ANSWER_LEADS)]:
        for lead in leads:
            found[_before(event, lead)] = stop_time_matched_auc(cumulative, failed, stop, lead=lead)
    return found


def _search_end(answered: np.ndarray, settled: np.ndarray, calm: np.ndarray, segments: int) -> np.ndarray:
    """Segment [N] that ended each search, T + 1 for an endless search.

    The search of a right answer ends with the answer. The search of a wrong state that settles ends before settling, by
    the median time from answer to settling. Where fewer than 5 searches would then be endless, all failed puzzles count
    as endless.

    Args:
        answered: [N] segment of the first right answer of puzzles that are solved at the end.
        settled: [N] segment of settling.
        calm: [N] booleans, late drift counts as settled; a single quiet segment at the end does not.
        segments: T.
    """
    lag = _lag(settled, answered, segments)
    if math.isnan(lag):
        return answered
    wrong = (answered > segments) & calm & (settled <= segments)
    ended = np.where(wrong, np.clip(settled - round(lag), 1, segments), answered)
    return answered if np.count_nonzero(ended > segments) < MIN_CLASS else ended


def _stand_in(
    examples: Examples, ended: np.ndarray, stays: np.ndarray, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Null exponents that know only when the search ended: lambda_1, and the spectrum where one was measured."""
    exponents = [
        convergence_null(examples.lambda_segments, ended, rng, stays)[:, examples.transient :].mean(1)
        for _ in range(examples.lambda_spectrum.shape[1])
    ]
    return {"lambda_1": exponents[0]} | ({"spectrum": np.stack(exponents[1:], 1)} if exponents[1:] else {})


def _lag(settled: np.ndarray | None, answered: np.ndarray, segments: int) -> float:
    """Median of settling minus answer over the puzzles that have both."""
    if settled is None or not (both := (settled <= segments) & (answered <= segments)).any():
        return math.nan
    return float(np.median(settled[both] - answered[both]))
