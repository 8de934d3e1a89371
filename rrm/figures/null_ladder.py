"""The null ladder: the information of exponents on failure, beside scores and models that only detect convergence."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from textwrap import wrap

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rrm.figures.style import FULL, GREY, LAMBDA, SMALL, Keywords, headline, minus, paper_style, pretty
from rrm.statistics.interval import Interval
from rrm.statistics.ladder import Ladder

# Inches: a line of a row, and everything above and below the rows.
_LINE, _FRAME = 0.165, 1.25

# Characters of a name in a line.
_NAME = 25

# Lines of a step on the right, and of the axis and the words below all steps.
_STEP, _WORDS = 3.9, 15

# Nats per puzzle that the axis of gains spans at the least, on either side of 0.
_LEAST_GAIN = 2e-4


@dataclass(frozen=True)
class _Row:
    """A name and an interval with the look of its mark; without an interval a heading."""

    name: str
    interval: Interval | None = None
    colour: str = "black"
    marker: str = ""
    filled: bool = True

    @property
    def lines(self) -> list[str]:
        return wrap(self.name, _NAME)


def null_ladder(label: str, found: Ladder, controls: Mapping[str, Interval], nulls: Mapping[str, Interval]) -> Figure:
    """AUC for failure of every score, control and null model on the left, gains over all null scores on the right.

    Purple is an exponent, grey a null; the square is the model of all null scores. Intervals are of 95 % and stand
    beside the marks in figures. A vertical line continues every null model through all rows. On the right, each step
    shows the fall of held-out log-loss over all null scores and all steps above. An open mark is no fall beyond
    sampling error, the gain of the null (grey, with the range of its draws) and the tolerance of the fits.

    Args:
        label: name of the trained model.
        found: scores alone and nested.
        controls: AUC of the exponent under each control, such as "within drift deciles".
        nulls: AUC of each null model, such as "transient chaos". The null of a control has the name of the control, and
            stands below it without a line.
    """
    rows = _left_rows(found, controls, nulls)
    lines = max(_centres(rows)[-1] + len(rows[-1].lines) / 2 + 0.4, _STEP * len(found.steps) + _WORDS)
    with paper_style():
        figure = Figure(figsize=(FULL, _LINE * lines + _FRAME))
        headline(figure, f"{label}: {found.n_failed} failed of {found.n} puzzles")
        aucs, gains = figure.subplots(1, 2, width_ratios=(1, 1.25))
        _draw_aucs(aucs, rows, [nulls[name] for name in nulls if name not in controls])
        _draw_gains(gains, found)
        for ax in (aucs, gains):
            ax.tick_params(axis="y", length=0)
            ax.spines.left.set_visible(False)
            ax.set_ylim(lines, 0)
        figure.draw_without_rendering()
    return figure


def _left_rows(found: Ladder, controls: Mapping[str, Interval], nulls: Mapping[str, Interval]) -> list[_Row]:
    null: Keywords = {"colour": GREY, "marker": "o"}
    exponent: Keywords = {"colour": LAMBDA.colour, "marker": LAMBDA.marker}
    added = {step.name for step in found.steps}
    rows = [_Row("null scores alone")]
    rows += [_Row(rung.name, rung.auc, **null) for rung in found.rungs if rung.name not in added]
    rows += [_Row(found.base.name, found.base.auc, colour=GREY, marker="s")]
    rows += [_Row("exponents alone")]
    rows += [_Row(rung.name, rung.auc, **exponent) for rung in found.rungs if rung.name in added]
    if controls:
        rows.append(_Row("exponent, controlled"))
    for name, interval in controls.items():
        rows.append(_Row(_counted(name, interval, found.n), interval, **exponent, filled=False))
        if name in nulls:
            rows.append(_Row("its null", nulls[name], **null, filled=False))
    others = [name for name in nulls if name not in controls]
    if others:
        rows.append(_Row("null models"))
    rows += [_Row(_counted(name, nulls[name], found.n), nulls[name], **null, filled=False) for name in others]
    return rows


def _counted(name: str, interval: Interval, n: int) -> str:
    """`name`, with the number of puzzles where it is not that of the whole ladder."""
    return name if interval.n == n else f"{name} (n\xa0=\xa0{interval.n})"


def _draw_aucs(ax: Axes, rows: list[_Row], lines: Iterable[Interval]) -> None:
    """Names left of the axes, figures right of them."""
    ax.set_title(r"$\bf{a}$  AUC for failure, 95 % interval")
    centres = _centres(rows)
    for row, y in zip(rows, centres, strict=True):
        if row.interval:
            _mark(ax, row, row.interval, y)
            ax.annotate(
                _figures(row.interval, ".3f"), (1, y), (6, 0), xycoords=ax.get_yaxis_transform(),
                textcoords="offset points", va="center_baseline", fontsize=SMALL, color=row.colour,
            )  # fmt: skip
    ax.set_yticks(centres, [pretty("\n".join(row.lines)) for row in rows])
    for name, row in zip(ax.get_yticklabels(), rows, strict=True):
        name.set(weight="normal" if row.interval else "bold", color=row.colour)
    for interval in lines:
        ax.axvline(interval.estimate, color=GREY, linewidth=0.7, linestyle=":", zorder=0)
    ax.axvline(0.5, color="black", linewidth=0.7, zorder=0)
    lows = [row.interval.low for row in rows if row.interval and math.isfinite(row.interval.low)]
    ax.set(xlim=(min(0.46, min(lows, default=0.5) - 0.02), 1.0), xlabel="AUC (0.5: chance)")
    ax.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))


def _draw_gains(ax: Axes, found: Ladder) -> None:
    """Name and figures above each mark, and the words below an axis that ends under the last step."""
    ax.set_title(r"$\bf{b}$  gain over all null scores")
    shown = [gain for step in found.steps for gain in (step.gain, step.null_gain) if gain]
    ends = [end for gain in shown for end in (gain.low, gain.high)]
    scale, unit, spec = 1.0, "nats per puzzle", "+z.3f"
    if max(map(abs, ends)) < 0.05:
        scale, unit, spec = 1e3, r"$10^{-3}$ nats per puzzle", "+z.2f"
    for place, step in enumerate(found.steps):
        gain = step.gain * scale
        row = _Row(f"+ {step.name}", gain, LAMBDA.colour, LAMBDA.marker, step.adds)
        _mark(ax, row, gain, _STEP * (place + 1) - 1.5)
        if step.null_gain:
            null_gain = step.null_gain * scale
            null = _Row("its null", null_gain, GREY, "o", filled=False)
            _mark(ax, null, null_gain, _STEP * (place + 1) - 0.8)
        ax.text(
            0, _STEP * place + 0.1, pretty(f"{row.name}\n{_figures(gain, spec)}"), color=row.colour, fontsize=SMALL,
            va="top", transform=ax.get_yaxis_transform(), bbox={"facecolor": "white", "linewidth": 0, "pad": 1},
        )  # fmt: skip
    low, high = scale * min(-_LEAST_GAIN, *ends), scale * max(_LEAST_GAIN, *ends)
    foot = _STEP * len(found.steps)
    ax.plot([0, 0], [1.7, foot], color="black", linewidth=0.7, zorder=0)
    ax.spines.bottom.set_position(("data", foot))
    ax.set(xlim=(low - 0.05 * (high - low), high + 0.05 * (high - low)), yticks=[])
    ax.set_xlabel(f"fall of held-out log-loss\n({unit})")
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.text(0, foot + 4.5, _words(found), va="top", fontsize=SMALL, linespacing=1.4, transform=ax.get_yaxis_transform())


def _words(found: Ladder) -> str:
    """The log-losses below the gains, and the meaning of the marks."""
    return "\n".join(
        [
            "Held-out log-loss, nats per puzzle:",
            f"success rate alone {found.prevalence_log_loss:.4f},",
            f"{found.base.name} {found.base.log_loss:.4f}.",
            "Each step is added to all before it:",
            "filled where it lowers the log-loss by",
            "more than chance and its null (grey), open",
            "where it adds nothing measurable.",
        ]
    )


def _centres(rows: list[_Row]) -> list[float]:
    """Middle of each row, in lines from the top; half a line is free above a heading."""
    centres, line = [], 0.0
    for row in rows:
        line += 0.5 if row.interval is None and line else 0
        centres.append(line + len(row.lines) / 2)
        line += len(row.lines)
    return centres


def _mark(ax: Axes, row: _Row, interval: Interval, y: float) -> None:
    ax.plot([interval.low, interval.high], [y, y], color=row.colour, linewidth=1.0, clip_on=False)
    face = row.colour if row.filled else "white"
    ax.plot(interval.estimate, y, color=row.colour, marker=row.marker, markerfacecolor=face, clip_on=False, zorder=3)


def _figures(interval: Interval, spec: str) -> str:
    return minus(f"{interval:{spec}}") if math.isfinite(interval.estimate) else "undefined"
