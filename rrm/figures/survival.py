"""Deep rollouts: how long puzzles stay unsolved, and whether their chance to escape is constant."""

import math
from collections.abc import Mapping
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedFormatter, FixedLocator, MaxNLocator, NullLocator

from rrm.figures.numbers_below import numbers_below
from rrm.figures.style import COLOURS, COLUMN, DASHES, GREY, Keywords, Look, legend_below, paper_style, pretty
from rrm.statistics.interval import Interval
from rrm.statistics.survival import Survival

# The curve is wide and pale, so that the thin line of a constant chance is seen upon it.
_CURVE: Keywords = {"linewidth": 2, "alpha": 0.55}
_CONSTANT: Keywords = {"linewidth": 0.8, "linestyle": (0, (1, 1))}

# The axis is logarithmic where rollouts are at least so many times as deep as in training.
_DEEP = 4

# Inches: the panel with its axis and names, and a line of the rows below it. Characters of a line of the legend.
_PANEL, _LINE, _NAME = 2.6, 0.17, 44


def survival_figure(curves: Mapping[str, Survival], chances: Mapping[str, Interval], training_depth: int) -> Figure:
    """Share of puzzles not solved yet against segments, Kaplan-Meier with 95 % bands, and the puzzles still at risk.

    The dotted line shows a constant chance p to escape in a segment after the training depth: the line starts there on
    the curve and falls as (1 - p)^segments.

    Args:
        curves: at least one, by name; one of the puzzles unsolved at `training_depth` is drawn from there on.
        chances: probability per segment to escape, of the puzzles unsolved at `training_depth`, by the name of the
            curve; a curve without one, or with an undefined one, has no dotted line.
        training_depth: segments of a rollout in training.

    Raises:
        ValueError: no curve, or the chance of a curve that is not there.
    """
    if not curves or not chances.keys() <= curves.keys():
        raise ValueError(f"needs at least one curve, and chances by their names; got {[*curves]} and {[*chances]}")
    looks = {
        name: Look(name, COLOURS[i % len(COLOURS)], DASHES[(i + i // len(COLOURS)) % len(DASHES)], "")
        for i, name in enumerate(curves)
    }
    entries = {_entry(name, curves[name], chances.get(name)): _sample(look) for name, look in looks.items()}
    end = max(training_depth, *(curve.time[-1] for curve in curves.values()))
    with paper_style():
        lines = len(curves) + 3 + sum(entry.count("\n") + 1 for entry in entries)
        figure = Figure(figsize=(COLUMN, _PANEL + _LINE * lines))
        ax = figure.subplots()
        times = _time_axis(ax, float(end), training_depth)
        for name, curve in curves.items():
            chance = chances.get(name)
            _draw(ax, curve, looks[name], _entry_time(curve, chance, training_depth))
            if chance and math.isfinite(chance.estimate) and curve.time[-1] > training_depth:
                _draw_constant(ax, curve, chance.estimate, training_depth, looks[name])
                entries[f"constant chance p after segment {training_depth}"] = Line2D(
                    [], [], color="black", **_CONSTANT
                )
        ax.axvline(training_depth, color=GREY, linewidth=0.8, zorder=0)
        entries[f"training depth, {training_depth} segments"] = Line2D([], [], color=GREY, linewidth=0.8)
        ax.set(xlabel="segments", ylabel="not solved yet (% of puzzles)", ylim=(-2, 102))
        rows = []
        for name, curve in curves.items():
            entry = _entry_time(curve, chances.get(name), training_depth)
            rows.append((looks[name], [_at_risk(curve, time) if time >= entry else "" for time in times]))
        numbers_below(ax, "puzzles at risk: unsolved, still observed", times, rows)
        legend_below(figure, entries)
        figure.draw_without_rendering()
    return figure


def _entry(name: str, curve: Survival, chance: Interval | None) -> str:
    words = fill(pretty(f"{name}: {curve.n_events} of {curve.n} puzzles solved"), _NAME)
    if chance is None:
        return words
    return f"{words}\np = {chance:#.2g} per segment" if math.isfinite(chance.estimate) else f"{words}\np undefined"


def _sample(look: Look) -> Line2D:
    return Line2D([], [], color=look.colour, linestyle=look.line, **_CURVE)


def _entry_time(curve: Survival, chance: Interval | None, training_depth: int) -> int:
    """First segment of a curve: the training depth for a curve of the puzzles that are unsolved there, otherwise 0."""
    return training_depth if chance and curve.time[0] > training_depth else 0


def _draw(ax: Axes, curve: Survival, look: Look, entry: int) -> None:
    start = entry or min(ax.get_xlim()[0], curve.time[0])
    time = np.r_[start, curve.time]
    low, share, high = (100 * np.r_[1, values] for values in (curve.low, curve.survival, curve.high))
    ax.fill_between(time, low, high, step="post", facecolor=(look.colour, 0.2), linewidth=0)
    ax.step(time, share, where="post", color=look.colour, linestyle=look.line, **_CURVE)


def _draw_constant(ax: Axes, curve: Survival, chance: float, start: int, look: Look) -> None:
    time = np.geomspace(start, curve.time[-1], 200)
    share = np.r_[1, curve.survival][np.searchsorted(curve.time, start, side="right")]
    ax.plot(time, 100 * share * (1 - chance) ** (time - start), color=look.colour, **_CONSTANT)


def _at_risk(curve: Survival, time: float) -> int:
    """Puzzles neither solved nor censored before `time`."""
    place = np.searchsorted(curve.time, time)
    return int(curve.at_risk[place]) if place < len(curve.time) else 0


def _time_axis(ax: Axes, end: float, training_depth: int) -> list[float]:
    """Scale, limits and ticks of the axis of segments; returns the ticks."""
    if end < _DEEP * training_depth:
        ax.set_xlim(0, end * 1.02)
        ticks = [tick for tick in MaxNLocator(5, integer=True).tick_values(0, end) if 0 <= tick <= end]
    else:
        ax.set_xscale("log", base=2)
        ax.set_xlim(0.85, end * 1.15)
        octaves = math.floor(math.log2(end))
        ticks = [2.0**octave for octave in range(0, octaves + 1, -(-octaves // 5))]
        ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_locator(FixedLocator(ticks))
    ax.xaxis.set_major_formatter(FixedFormatter([f"{tick:.0f}" for tick in ticks]))
    return ticks
