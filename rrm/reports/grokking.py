"""The report on training runs that grok: events, phases, early signs, actions, statistics, Fourier structure."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from types import MappingProxyType

import numpy as np
from matplotlib.figure import Figure

from rrm.panels import HISTORIES
from rrm.reports.report import Report
from rrm.statistics.early_signs import SharedSign, shared_signs
from rrm.statistics.events import PHASES, TEST_ACCURACY, between, studied
from rrm.statistics.fourier import Fourier
from rrm.statistics.grok_times import LEAST_SEEDS, GrokTimes, TimeComparison, compare_times, grok_table
from rrm.statistics.histories import aggregates, correlations
from rrm.statistics.routing import Routing
from rrm.statistics.training_runs import TrainingRun, TrainingRuns
from rrm.terminal.table import table

# What is read at events, by its series.
ACTIONS: Mapping[str, str] = {
    "time": "probe/path/tau",
    "kinetic action": "probe/path/kinetic_action",
    "path": "probe/path/length",
    "displacement": "probe/path/displacement",
    "function action": "probe/path/function_action",
    "function action, train": "probe/path/function_action_train",
}
# Rows of a table of signs, of correlations, and of summarised runs, at most.
_MOST = 25


def report(
    runs: TrainingRuns,
    structures: Mapping[str, Fourier],
    routings: Mapping[str, Sequence[Routing]] = MappingProxyType({}),
) -> Report:
    """The whole report.

    Args:
        runs: none for a report on networks alone.
        structures: Fourier structure of networks by their name.
        routings: of networks with routers by their name, at some steps in their order.
    """
    said = Report()
    if len(runs):
        signs, times = shared_signs(runs), runs.grok_times()
        said.tables |= _tables(runs, signs)
        said.sentences += _sentences(times, signs, comparisons(runs))
        said.metrics |= _metrics(times)
    for label, found in structures.items():
        said.tables[f"Fourier structure of {label}"] = _fourier_lines(found)
        said.sentences.append(_fourier_sentence(label, found))
        said.metrics |= {_plain(f"{label}/fve"): found.fve, _plain(f"{label}/key_frequencies"): float(len(found.keys))}
    for label, steps in routings.items():
        said.tables[f"use of heads in {label}, %"] = table(_use_of_heads(steps))
    said.figures = _figures(runs, structures, routings)
    return said


def _tables(runs: TrainingRuns, signs: Sequence[SharedSign]) -> dict[str, list[str]]:
    found = {
        "runs, those that keep what they have grokked first": runs.summary()[:_MOST],
        "steps until runs grok; > is a run that has not by then": grok_table(runs.grok_times()),
        "phases in steps, medians over the runs of an arm that have had them": _phases(runs),
        "what turned between memorisation and grokking, and in how many runs that never grok": [
            _sign_row(sign) for sign in signs[:_MOST]
        ],
        "actions at events, medians over runs (range)": _actions(runs),
        "rank correlation with test accuracy after memorisation, medians over runs": _correlations(runs),
        "statistics by phase, mean +- SD over steps": _statistics(runs[0]) if len(runs) == 1 else [],
    }
    return {title: table(rows) for title, rows in found.items() if rows}


def comparisons(runs: TrainingRuns) -> list[TimeComparison]:
    """The first arm of every model against the others of that model, corrected together."""
    pairs = []
    for model in dict.fromkeys(run.model for run in runs):
        first, *others = TrainingRuns([run for run in runs if run.model == model]).grok_times()
        pairs += [(first, other) for other in others]
    return compare_times(pairs)


def statistics_rows(runs: TrainingRuns) -> list[dict[str, str]]:
    """Rows of a CSV file: every series of every run, derived ones too, over all steps and by phase."""
    rows = []
    for run in runs:
        curves = run.with_derived()
        summaries = {f"all/{name}": found for name, found in aggregates(curves).items()}
        for key, found in (summaries | aggregates(curves, run.events)).items():
            phase, _, name = key.partition("/")
            numbers = asdict(found)
            rows.append(
                {"run": run.name, "arm": run.label, "seed": str(run.seed), "phase": phase, "series": name}
                | {title: f"{number:.9g}" for title, number in numbers.items()}
            )
    return rows


def actions_at(run: TrainingRun) -> dict[str, tuple[float, float]]:
    """(at memorisation, at grokking or else in the last row) of every action that a run has.

    Between rows an action is linear; before the first row and after the last one the action is nan.
    """
    found = {}
    for name, series in ACTIONS.items():
        if series in run.curves:
            steps, values = run.curves[series]
            ends = run.events.memorised, steps[-1] if run.events.grokked is None else run.events.grokked
            start, end = (math.nan if at is None else np.interp(at, steps, values, math.nan, math.nan) for at in ends)
            found[name] = float(start), float(end)
    return found


def _phases(runs: TrainingRuns) -> list[dict[str, str]]:
    rows = []
    for arm, mine in _by_arm(runs):
        lengths = [{name: end - begin for name, (begin, end) in run.events.phases.items()} for run in mine]
        found = {name: [of[name] for of in lengths if name in of] for name in PHASES}
        medians = {name: f"{np.median(values):.0f}" if values else "" for name, values in found.items()}
        kept = [run.events.test_pairs_kept for run in mine if run.grokked]
        rows.append({"arm": arm, **medians, "kept after (%)": f"{100 * np.median(kept):.0f}" if kept else ""})
    return rows


def _sign_row(sign: SharedSign) -> dict[str, str]:
    known = bool(sign.leads)
    return {
        "series": sign.name,
        "turned": f"{len(sign.leads)} of {sign.grokked}",
        "before the rise": f"{sign.before} of {sign.grokked}",
        "lead, steps": f"{sign.lead:.0f} ({min(sign.leads)} to {max(sign.leads)})" if known else "",
        "lead, share": f"{np.median(sign.shares):.2f}" if known else "",
        "turned without": f"{sign.turned_without} of {sign.without}",
    }


def _actions(runs: TrainingRuns) -> list[dict[str, str]]:
    rows = []
    for arm, mine in _by_arm(runs):
        found = [actions_at(run) for run in mine]
        names = [name for name in ACTIONS if any(name in of for of in found)]
        if names:
            groks = all(run.grokked for run in mine)
            row = {"arm": arm, "until": "grokking" if groks else "grokking or the last step"}
            for name in names:
                start, end = zip(*(of[name] for of in found if name in of), strict=True)
                row[name] = f"{_words(start)} -> {_words(end)}"
            rows.append(row)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return [{name: row.get(name, "") for name in columns} for row in rows]


def _words(values: Sequence[float]) -> str:
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return "?"
    median, low, high = (f"{value:.4g}" for value in (float(np.median(known)), min(known), max(known)))
    return median if low == high else f"{median} ({low} to {high})"


def _correlations(runs: TrainingRuns) -> list[dict[str, str]]:
    """Medians over the runs that grok and over those that never do, by series; the strongest of the former first."""
    columns: dict[str, dict[str, float]] = {}
    for title, mine in (
        ("grok", [run for run in runs if run.grokked]),
        ("never grok", [r for r in runs if not r.grokked]),
    ):
        found: dict[str, list[float]] = {}
        for run in mine:
            names, matrix = correlations(between(run.curves, run.events.memorised or 0), studied(run.curves))
            if TEST_ACCURACY in names:
                for name, value in zip(names, matrix[names.index(TEST_ACCURACY)], strict=True):
                    if name != TEST_ACCURACY and math.isfinite(value):
                        found.setdefault(name, []).append(value)
        if found:
            columns[f"{len(mine)} that {title}"] = {name: float(np.median(values)) for name, values in found.items()}
    series = dict.fromkeys(name for of in columns.values() for name in of)
    first = next(iter(columns.values()), {})
    order = sorted(series, key=lambda name: -abs(first.get(name, 0)))[:_MOST]
    return [
        {"series": name} | {title: f"{of[name]:+.2f}" if name in of else "" for title, of in columns.items()}
        for name in order
    ]


def _statistics(run: TrainingRun) -> list[dict[str, str]]:
    curves, phases = run.with_derived(), list(run.events.phases)
    found = aggregates(curves, run.events)
    rows = []
    for name in studied(curves):
        cells = {phase: found.get(f"{phase}/{name}") for phase in phases}
        words = {phase: f"{of.mean:.3g} +- {of.std:.2g}" if of and of.n else "" for phase, of in cells.items()}
        rows.append({"series": name, **words})
    return rows


def _fourier_lines(found: Fourier) -> list[str]:
    power = found.embedding_power
    shown = found.frequency[np.argsort(-found.explained)][: max(8, len(found.keys))]
    rows = [
        {
            "frequency": str(k),
            "variance explained": f"{found.explained[k - 1]:.3f}",
            "embedding": "" if power is None else f"{power[k - 1]:.3f}",
            "key of": " and ".join(
                name for name, keys in (("logits", found.keys), ("embedding", found.embedding_keys)) if k in keys
            ),
        }
        for k in shown.tolist()
    ]
    ablated = [
        {"logits": variant, "pairs": part, "loss": f"{of.loss:.3g}", "accuracy %": f"{100 * of.accuracy:.1f}"}
        for (variant, part), of in found.ablations.items()
    ]
    return [*table(rows), "", *table(ablated)]


def _fourier_sentence(label: str, found: Fourier) -> str:
    parts = "test" if ("full", "test") in found.ablations else "all"
    restricted, excluded = found.ablations["restricted", parts], found.ablations["excluded", parts]
    gini = "" if math.isnan(found.gini) else f", Gini of the embedding {found.gini:.2f}"
    return (
        f"{label}: the characters of {found.operation} explain {100 * found.fve:.1f} % of the variance of the logits, "
        f"{len(found.keys)} key frequencies {100 * found.key_fve:.1f} %, those of the inverse operation "
        f"{100 * found.inverse:.1f} %{gini}. On {parts} pairs the key frequencies alone are right on "
        f"{100 * restricted.accuracy:.1f} %, and the logits without them on {100 * excluded.accuracy:.1f} %."
    )


def _use_of_heads(steps: Sequence[Routing]) -> list[dict[str, str]]:
    return [
        {"step": str(found.step), "router": router}
        | {f"head {head}": f"{100 * share:.0f}" for head, share in enumerate(found.use(router))}
        for router in steps[0].weights
        for found in steps
    ]


def _sentences(
    times: Sequence[GrokTimes], signs: Sequence[SharedSign], compared: Sequence[TimeComparison]
) -> Iterator[str]:
    yield "; ".join(arm.words() for arm in times) + "."
    if few := [arm.arm for arm in times if arm.n < LEAST_SEEDS]:
        yield (
            f"Fewer than {LEAST_SEEDS} seeds: {'; '.join(few)}. The step of grokking varies much between seeds, so "
            "these numbers are examples and no verdict."
        )
    yield from (comparison.sentence() for comparison in compared)
    without = max((sign.without for sign in signs), default=0)
    alone = [sign for sign in signs if len(sign.leads) == sign.grokked and not sign.turned_without]
    if not without and signs:
        yield "No run without grokking to compare with: what turned early may turn in every run."
    elif alone:
        words = [f"{sign.name} by {sign.lead:.0f} steps" for sign in alone if "/layer/" not in sign.name]
        yield (
            f"Turned before every one of {alone[0].grokked} runs grokked, and in none of {without} that never do "
            f"(median leads): {'; '.join(words[:4])}."
        )
    elif signs:
        yield "No series turned before grokking in every run that groks and in none that does not."


def _metrics(times: Sequence[GrokTimes]) -> dict[str, float]:
    found: dict[str, float] = {}
    for arm in times:
        found |= {f"{arm.arm}/runs": float(arm.n), f"{arm.arm}/grokked": float(len(arm.grokked))}
        if math.isfinite(arm.median):
            found[f"{arm.arm}/grokked_step_median"] = arm.median
    return {_plain(name): value for name, value in found.items()}


def _plain(name: str) -> str:
    """A name of a metric without the signs that MLflow refuses."""
    return re.sub(r"[^\w\-. :/]", "", name)


def _figures(
    runs: TrainingRuns, structures: Mapping[str, Fourier], routings: Mapping[str, Sequence[Routing]]
) -> dict[str, Figure]:
    from rrm.figures import (
        fourier_figure,
        grokking_survival,
        history_figure,
        layer_panels,
        routing_evolution,
        routing_figure,
    )

    figures = {}
    if len(runs):
        histories = {**HISTORIES, "matrices": layer_panels(runs)}
        drawn = {f"grokking_{name}": history_figure(runs, panels) for name, panels in histories.items()}
        figures = {name: figure for name, figure in drawn.items() if figure is not None}
        figures["grokking_survival"] = grokking_survival(runs.grok_times())
    for number, (label, found) in enumerate(structures.items()):
        name = "grokking_fourier" if len(structures) == 1 else f"grokking_fourier_{number}"
        figures[name] = fourier_figure(label, found)
    for number, (label, steps) in enumerate(routings.items()):
        end = "" if len(routings) == 1 else f"_{number}"
        figures[f"grokking_routing{end}"] = routing_figure(label, steps[-1])
        figures[f"grokking_routing_steps{end}"] = routing_evolution(label, steps)
    return figures


def _by_arm(runs: TrainingRuns) -> Iterator[tuple[str, list[TrainingRun]]]:
    for arm in runs.arms:
        yield arm, [run for run in runs if run.label == arm]
