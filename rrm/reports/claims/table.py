"""The claims as a table, as sentences and as a figure."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rrm.reports.claims.claim import Claim
from rrm.reports.claims.evidence import Evidence
from rrm.reports.metrics import interval_metrics
from rrm.reports.report import Report
from rrm.statistics.claims import DOES_NOT_HOLD, HOLDS, VERDICTS, Judged, judge
from rrm.statistics.hypotheses import detectable_words
from rrm.terminal.table import markdown_table, table

CSV, MARKDOWN = "claims.csv", "claims.md"

# Columns that fit a terminal; the files have all.
_SHOWN = ("claim", "effect", "unit", "seeds", "null", "counts from", "p corrected", "verdict")

# Effects by training seed: of a claim, and of its control.
Effects = tuple[Mapping[int, float], Mapping[int, float]]


@dataclass(frozen=True)
class Row:
    """A judged claim. control: the effect of its control by seed, empty without one.  runs: ids of its runs."""

    claim: Claim
    judged: Judged
    control: Mapping[int, float]
    runs: Sequence[str]


def effects(claim: Claim, found: Evidence) -> Effects:
    """The effect of a claim by seed, and that of its control through the same code."""
    return claim.effect(found), claim.effect(claim.control(found)) if claim.control else {}


def rows(
    claims: Sequence[Claim], found: Evidence, measure: Callable[[Claim, Evidence], Effects] = effects
) -> list[Row]:
    """All claims, judged together. `measure`: gives the effects, such as those that were kept."""
    measured = [measure(claim, found) for claim in claims]
    judged = judge([(own, claim.null, claim.smallest) for claim, (own, _) in zip(claims, measured, strict=True)])
    return [
        Row(claim, one, control, found.runs.get(claim.evidence, ()))
        for claim, one, (_, control) in zip(claims, judged, measured, strict=True)
    ]


def report(found: Sequence[Row]) -> Report:
    """The table with its figure, Markdown and CSV, of judged claims."""
    from rrm.figures.claims import ForestRow, claims_figure

    cells, tests = [_cells(row) for row in found], sum(math.isfinite(row.judged.p) for row in found)
    said = Report()
    title = "claims; effects with 95 % intervals over training seeds, p corrected by Holm"
    said.tables[title] = table([{name: row[name] for name in _SHOWN} for row in cells])
    said.sentences = [
        *(_sentence(row) for row in found),
        f"p is corrected by Holm for the {tests} tests of the table. A claim holds if its effect is told from the null "
        "and at least the smallest that counts; it does not hold if its interval excludes every effect that counts. "
        "The smallest effects that count are part of the claims, fixed before the measurement.",
    ]
    # MLflow keeps 8,000 characters of a description; the whole table is an artifact.
    said.note = markdown_table([{name: row[name] for name in _SHOWN} for row in cells])
    for row in found:
        said.metrics |= _metrics(row)
    said.metrics |= {f"verdicts/{v.replace(' ', '_')}": sum(r.judged.verdict == v for r in found) for v in VERDICTS}
    said.figures["claims"] = claims_figure(
        [
            ForestRow(row.claim.words, f"{_effect(row)} {row.claim.unit}", row.judged, _mean(row.control))
            for row in found
        ]
    )
    said.files |= {CSV: "", MARKDOWN: ""}
    return said


def csv_rows(found: Sequence[Row]) -> list[dict[str, str]]:
    """The rows of the CSV file."""
    return [_cells(row) for row in found]


def _effect(row: Row) -> str:
    # Beside a null of 0 an effect is a difference.
    return f"{row.judged.effect * row.claim.factor:{'+z.3g' if row.claim.null == 0 else '.3g'}}"


def _number(value: float, factor: float) -> str:
    return f"{factor * value:.3g}" if math.isfinite(value) else ""


def _mean(control: Mapping[int, float]) -> float:
    known = [value for value in control.values() if math.isfinite(value)]
    return float(np.mean(known)) if known else math.nan


def _cells(row: Row) -> dict[str, str]:
    claim, judged = row.claim, row.judged
    null = _number(claim.null, claim.factor)
    if control := _number(_mean(row.control), claim.factor):
        null += f" (control {control})"
    return {
        "claim": claim.words,
        "test": claim.test,
        "effect": _effect(row) if judged.values else "",
        "unit": claim.unit,
        "seeds": str(len(judged.values)),
        "null": null,
        "counts from": _number(claim.null + claim.smallest, claim.factor),
        "p": _number(judged.p, 1),
        "p corrected": _number(judged.p_holm, 1),
        "would be found": detectable_words(judged.detectable, claim.factor) if math.isfinite(judged.p) else "",
        "verdict": judged.verdict,
        "values by seed": " ".join(f"{seed}:{claim.factor * value:.3g}" for seed, value in judged.values.items()),
        "runs": " ".join(row.runs),
    }


def _sentence(row: Row) -> str:
    claim, judged = row.claim, row.judged
    if not judged.values:
        return f"{claim.words}: cannot be said; no seed has what the test needs."
    found = f"{_effect(row)} {claim.unit} over {len(judged.values)} seeds; {claim.test}"
    if judged.verdict == HOLDS:
        return f"{claim.words}: holds (p = {judged.p_holm:.2g}; {found})."
    if judged.verdict == DOES_NOT_HOLD:
        least = _number(claim.null + claim.smallest, claim.factor)
        return f"{claim.words}: does not hold; {least} and more is excluded ({found})."
    if math.isnan(judged.p):
        return f"{claim.words}: cannot be said; one seed shows no spread to judge by ({found})."
    seen = f"{detectable_words(judged.detectable, claim.factor)} beyond the null would be found 4 times in 5"
    return f"{claim.words}: cannot be said with this much data ({found}; {seen})."


def _metrics(row: Row) -> dict[str, float]:
    name, judged = f"claims/{row.claim.name}", row.judged
    named = interval_metrics(f"{name}/effect", judged.effect) | {f"{name}/control": _mean(row.control)}
    return named | {f"{name}/p_corrected": judged.p_holm, f"{name}/detectable": judged.detectable}
