"""The report of a stability study: tables, sentences, metrics and figures."""

import json
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure

from rrm.dynamics import LyapunovResult, escape_time, kaplan_yorke, positive_sum
from rrm.dynamics.bases import BasesResult
from rrm.dynamics.escape import EscapeResult, relapsed
from rrm.dynamics.restarts import Freed, RestartResult, freed
from rrm.models import build, recursive
from rrm.reports.metrics import interval_metrics
from rrm.reports.report import Report
from rrm.statistics import (
    Evidence,
    Examples,
    Interval,
    Survival,
    control_sentence,
    escape_probability,
    kaplan_meier,
    ladder_lines,
    ladder_sentence,
    rounding_norm,
    wilson_interval,
)
from rrm.statistics.evidence import DRIFT_FLOOR
from rrm.statistics.means import median_interval
from rrm.terminal.table import table

# The ladders in sentences and figures. Where the solution is unique, violations tell the outcome itself.
SPOKEN = {
    "convergence": "convergence detection",
    "convergence and confidence": "convergence detection and confidence",
}


DEEP_ROLLOUTS = "deep rollouts"


@dataclass(frozen=True)
class Study:
    """All measurements; `rows` are the puzzles with finite values, on which statistics are made."""

    label: str
    result: LyapunovResult
    rows: np.ndarray
    found: Evidence
    deep: EscapeResult
    kicked: RestartResult
    bases: BasesResult

    @property
    def lambda_1(self) -> np.ndarray:
        """[n] nats per call, of `rows`."""
        return self.result.lambda_per_call[self.rows, 0]

    @property
    def solved(self) -> np.ndarray:
        """[n] bool, of `rows`."""
        return self.result.solved[self.rows]


def kept(array: np.ndarray | None) -> np.ndarray:
    """An array that only files of the first version lack; ValueError for such a file."""
    if array is None:
        raise ValueError("the result is of the first version, which kept too little: measure again")
    return array


def examples(result: LyapunovResult, rows: np.ndarray, untrained: dict[int, float]) -> Examples:
    """The statistics' view of a result; `untrained`: lambda_1 of an untrained network by position in the data."""
    confidence = {"margin": -kept(result.margin)[rows, -1], "entropy": kept(result.entropy)[rows, -1]}
    if np.isfinite(result.q_halt[rows]).all():
        confidence = {"Q head": -result.q_halt[rows, -1], **confidence}
    return Examples(
        lambda_spectrum=result.lambda_per_call[rows],
        lambda_segments=kept(result.lambda_segments)[rows, :, 0],
        drift=result.drift_H[rows],
        solved_at=kept(result.solved_at)[rows],
        confidence=confidence,
        violations=result.violations[rows],
        covariant=None if result.covariant is None else result.covariant[rows],
        untrained=np.array([untrained.get(index, np.nan) for index in result.index[rows]]),
        drift_L=result.drift_L[rows],
        transient=result.settings.transient,
    )


def evidence_sentences(label: str, found: Evidence) -> list[str]:
    """Sentences on the gain by lambda_1 over the scores of convergence, over those of confidence too, and before the
    answer comes; a single sentence where nothing is known.
    """
    ladders = dict.fromkeys(ladder_sentence(label, found.ladders[nulls], words) for nulls, words in SPOKEN.items())
    return [*ladders, control_sentence(label, found)]


def report(study: Study) -> Report:
    """The whole report."""
    found, result, rows = study.found, study.result, study.rows
    lost = len(result) - len(rows)
    sentences = [
        f"{found.n - found.n_failed} of {found.n} puzzles are solved after {result.settings.segments} segments"
        + (f"; {lost} left out because their state or tangents were not finite." if lost else "."),
        *evidence_sentences(study.label, found),
    ]
    curves, chances = survival(study)
    return Report(
        tables=_tables(study, chances),
        sentences=sentences,
        metrics=_metrics(study, chances),
        figures=draw(study, curves, chances),
    )


def survival(study: Study) -> tuple[dict[str, Survival], dict[str, Interval]]:
    """Kaplan-Meier curves of the deep rollouts, and the chance per segment to escape after the training depth.

    Up to the training depth the model was trained to escape. The chance therefore counts from there, for every puzzle
    that is unsolved at that depth, also if it was right before. These puzzles have a curve of their own, because the
    other curve ends at the first right answer.
    """
    solved, depth = study.deep.solved, study.result.settings.segments
    curves = {DEEP_ROLLOUTS: kaplan_meier(*escape_time(solved))}
    later = solved[~solved[:, depth - 1], depth:] if depth < solved.shape[1] else solved[:0]
    time, escaped = escape_time(later)
    if time.size:
        curves[f"unsolved after {depth} segments"] = kaplan_meier(depth + time, escaped)
    return curves, {DEEP_ROLLOUTS: escape_probability(time, escaped)}


def _exponents(study: Study) -> list[str]:
    """Medians by outcome, with exact 95 % intervals over puzzles.

    Where all k exponents are positive, bound and dimension are lower estimates. The median of lambda_1 has its SD over
    start bases beside it, from the puzzles that were measured from several bases.
    """
    lines, bases = [], study.bases
    spectra = study.result.lambda_per_call[study.rows]
    dimension = _state_size(study.result)
    for name, rows in (("solved", study.solved), ("failed", ~study.solved)):
        if not rows.any():
            continue
        spread = bases.medians(name == "solved").std(ddof=1)
        spectrum = torch.from_numpy(spectra[rows])
        (total, open_sum), (size, open_size) = positive_sum(spectrum, dimension), kaplan_yorke(spectrum, dimension)
        leading, calls = median_interval(spectra[rows, 0]), study.result.settings.calls_per_segment
        lines.append(
            {
                "": f"{name} {np.count_nonzero(rows)}",
                "lambda_1 per call": f"{leading:+.4f}",
                "SD over start bases": f"{spread:.4f}",
                "per segment": f"{calls * leading.estimate:+.3f}",
                f"lambda_{spectra.shape[1]} per call": f"{median_interval(spectra[rows, -1]):+.4f}",
                "sum of positive (truncated)": f"{median_interval(total):.3f} ({open_sum.double().mean():.0%})",
                "Kaplan-Yorke (truncated)": f"{median_interval(size):.2f} ({open_size.double().mean():.0%})",
            }
        )
    said = f"SD: of the median over {len(bases.seeds)} start bases, {len(bases.index)} puzzles"
    return [*table(lines), f"{study.result.settings.basis}; {said}"]


def _tables(study: Study, chances: dict[str, Interval]) -> dict[str, list[str]]:
    found, n = study.found, study.found.n
    tables = {"exponents, medians in nats": _exponents(study)}
    for nulls, climbed in found.ladders.items():
        if climbed:
            tables[f"null ladder over {nulls}, log-loss and gain in nats per puzzle"] = table(ladder_lines(climbed))
    if found.nulls:
        null = "knows only when the search ended"
        rows = [{"AUC": name, "lambda_1": f"{value:.3f}", null: f"{found.control_nulls[name]:.3f}"}
                for name, value in found.controls.items()]  # fmt: skip
        late = f"settling comes {found.lag:g} segments after the answer"
        tables[f"lambda_1 among comparable pairs, AUC for failed; {late}"] = table(rows)
        rows = [{"null": name, "AUC": f"{value:.3f}"} for name, value in found.nulls.items()]
        tables["what says nothing of stability, AUC for failed"] = table(rows)
    if found.table:
        t = found.table
        lines = table([{"": name, "correct": str(right), "wrong": str(wrong), "share": _share(right, right + wrong)}
                       for name, right, wrong in (("settled", t.A, t.B), ("unsettled", t.C, t.D))])  # fmt: skip
        tables[f"settling against correctness, {n} puzzles, late drift split at {t.tau:.3g}"] = lines
    (chance,), depth, solved = chances.values(), study.result.settings.segments, study.deep.solved
    lost, escaped, ever = (int(np.count_nonzero(of)) for of in (relapsed(solved), solved[:, -1], solved.any(1)))
    tables["deep rollouts, escapes"] = [
        f"solved after {study.deep.segments} segments: {_share(escaped, len(solved))} of {len(solved)}",
        f"{chance.n} unsolved after {depth} segments, right or wrong before: each segment solves one with a chance of "
        f"{chance:.2g}",
        f"solved once and lost again: {lost}, {_share(lost, ever)} of those solved once",
    ]
    summary = _freed(study.kicked)
    tables["kicked restarts"] = table(
        [{"kick": f"{kick:g}", "realised": f"{np.median(realised):.3g}", "failed": str(summary.failed),
          "freed by some copy": _share(summary.freed_puzzles[i] * summary.failed, summary.failed),
          "solved": str(summary.succeeded),
          "lost by some copy": _share(summary.lost_puzzles[i] * summary.succeeded, summary.succeeded)}
         for i, (kick, realised) in enumerate(zip(study.kicked.kicks[1:], study.kicked.realised[1:], strict=True))]
    )  # fmt: skip
    return tables


def _metrics(study: Study, chances: dict[str, Interval]) -> dict[str, float]:
    found, solved = study.found, study.solved
    metrics = {"exact": float(solved.mean()), "not_finite": float(len(study.result) - len(study.rows))}
    for name, rows in (("solved", solved), ("failed", ~solved)):
        if rows.any():
            metrics[f"lambda_1/{name}_median"] = float(np.median(study.lambda_1[rows]))
    for nulls, climbed in found.ladders.items():
        if climbed:
            for rung in climbed.rungs:
                metrics |= interval_metrics(f"auc/{rung.name}", rung.auc)
            for step in climbed.steps:
                metrics |= interval_metrics(f"gain over {nulls}/{step.name}", step.gain)
    for name, value in (found.nulls | found.controls).items():
        metrics |= interval_metrics(f"auc/{name}", value)
    (chance,) = chances.values()
    return metrics | interval_metrics("escape_probability", chance)


def draw(study: Study, curves: dict[str, Survival], chances: dict[str, Interval]) -> dict[str, Figure]:
    """The figures of a study by name of their file."""
    from rrm.figures import (
        horizon_figure,
        kick_figure,
        lambda_distributions,
        leading_spectrum,
        local_exponents,
        null_ladder,
        settling_figure,
        survival_figure,
    )
    from rrm.statistics import OutcomePanel

    found, result, rows = study.found, study.result, study.rows
    panels = [OutcomePanel(study.label, result.lambda_per_call[rows], study.solved, found.late_drift)]
    figures = {
        "lambda_distributions": lambda_distributions(panels),
        "leading_spectrum": leading_spectrum(panels),
        "local_exponents": local_exponents(study.label, kept(result.lambda_segments)[rows, :, 0], study.solved),
        "horizon": horizon_figure(study.label, found.horizon),
        "survival": survival_figure(
            curves, {name: chances[DEEP_ROLLOUTS] for name in curves if name != DEEP_ROLLOUTS}, result.settings.segments
        ),
        "kicks": kick_figure(
            np.median(study.kicked.realised[1:], (1, 2)), study.kicked.solved.shape[2], **vars(_freed(study.kicked))
        ),
    }
    of_lambda_1 = {name: value for name, value in found.nulls.items() if name != DRIFT_FLOOR}
    for nulls in SPOKEN:
        if climbed := found.ladders[nulls]:
            figures[f"null_ladder_{nulls.replace(' ', '_')}"] = null_ladder(
                f"{study.label}, over {nulls}", climbed, found.controls, of_lambda_1 | found.control_nulls
            )
    if found.table and found.sweep:
        floor = rounding_norm(_state_size(result) // 2, result.settings.precision) * 2**0.5
        figures["settling"] = settling_figure(
            study.label, found.late_drift, study.lambda_1, study.solved, found.table, found.sweep, floor
        )
    return figures


def _share(count: float, n: int) -> str:
    """A share of puzzles with its 95 % interval, in per cent; empty where there is no puzzle."""
    if not n:
        return ""
    share = wilson_interval(round(count), n)
    return f"{100 * share.estimate:.1f} % [{100 * share.low:.1f}, {100 * share.high:.1f}]"


def _freed(kicked: RestartResult) -> Freed:
    """The kicks, compared with the first one, which is no kick."""
    return freed(kicked.solved[1:], kicked.solved[0, :, 0])


def _state_size(result: LyapunovResult) -> int:
    """Numbers in the joint state (z_H, z_L)."""
    return recursive(build(json.loads(result.settings.model)), "stability").state_size
