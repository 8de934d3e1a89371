"""Heads: what they look at, how far they change, when, and what goes without them."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rrm.figures.style import COLOURS, FAILED, GREY, SMALL, SOLVED, headline, legend_below, panel_grid, paper_style
from rrm.statistics.heads import RANGES, Lost, Moved
from rrm.tasks.head_summary import PASS, HeadSummary

# Log lifts are shown up to so many nats: six times a uniform row.
_MOST = 1.8
_NULL = "another order"


def heads_figure(
    summary: HeadSummary, changes: Sequence[Moved], carried: Sequence[Lost], first: str, title: str
) -> Figure:
    """Four panels, three of a network without recursion.

    Scores of each head on each pattern with a dot outside of the null's band; the change of each head with its 95 %
    interval over puzzles, and that of the null; the share of the gain that is lost without the heads that change most,
    and without as many at random, with the range of the draws; changes and scores over calls.

    Args:
        summary: of the study.
        changes: of all heads.
        carried: shares of the gain.
        first: name of the model that the change counts from.
        title: above all.
    """
    labels = ["what heads look at", "which heads change", "what goes without heads", "in which calls"]
    one_pass = summary.calls == PASS
    with paper_style():
        figure, (scores, heads, gain, *calls) = panel_grid(labels[: 4 - one_pass], 2, height=3.2)
        headline(figure, f"{title}: {summary.puzzles} {'pairs' if one_pass else 'puzzles'} of {summary.task}")
        _scores(figure, scores, summary)
        entries = _changes(heads, summary, changes) | _lost(gain, carried)
        for ax in calls:
            entries |= _calls(ax, summary, first)
        legend_below(figure, entries, columns=3)
        figure.draw_without_rendering()
    return figure


def _names(summary: HeadSummary) -> list[str]:
    return [f"{layer}.{head}" for layer in summary.layer_names for head in range(summary.lift.shape[3])]


def _scores(figure: Figure, ax: Axes, summary: HeadSummary) -> None:
    lift = summary.log_lift(summary.names[0]).reshape(-1, len(summary.pattern_names))
    mean = summary.mean_lift(summary.names[0]).reshape(lift.shape)
    outside = (mean < summary.low[0].reshape(lift.shape)) | (mean > summary.high[0].reshape(lift.shape))
    image = ax.imshow(lift, cmap="RdBu_r", vmin=-_MOST, vmax=_MOST, aspect="auto")
    y, x = np.nonzero(outside)
    ax.plot(x, y, ".", color="black", markersize=2)
    ax.set_xticks(range(len(summary.pattern_names)), summary.pattern_names, rotation=45, ha="right", fontsize=SMALL)
    names = _names(summary)
    step = max(1, len(names) // 16)
    ax.set_yticks(range(0, len(names), step), names[::step], fontsize=SMALL)
    ax.set_ylabel("layer.head")
    figure.colorbar(image, ax=ax, label="log lift (nats)", shrink=0.9)


def _changes(ax: Axes, summary: HeadSummary, changes: Sequence[Moved]) -> dict[str, Line2D]:
    x = np.arange(len(changes))
    estimate = np.array([one.change.estimate for one in changes])
    ends = np.array([(one.change.low, one.change.high) for one in changes]).T
    ax.errorbar(x, estimate, np.abs(ends - estimate), fmt="o", color=COLOURS[0], linewidth=1)
    entries = {"change of a head": Line2D([], [], color=COLOURS[0], marker="o", linestyle="")}
    null = [one.change.estimate - one.beyond.estimate for one in changes if one.beyond is not None]
    if null:
        ax.plot(x, null, "s", color=GREY)
        entries[_NULL] = Line2D([], [], color=GREY, marker="s", linestyle="")
    step = max(1, len(changes) // 16)
    names = [f"{summary.layer_names[one.layer]}.{one.head}" for one in changes]
    ax.set_xticks(x[::step], names[::step], rotation=90, fontsize=SMALL)
    ax.set(ylabel="divergence (nats)", xlabel="layer.head", ylim=(0, None))
    return entries


def _calls(ax: Axes, summary: HeadSummary, first: str) -> dict[str, Line2D]:
    x = 1 + np.arange(summary.lift.shape[1])
    ax.plot(x, np.nanmean(summary.change(first), (1, 2)), color=COLOURS[0])
    entries = {f"divergence from {first}, mean over heads": Line2D([], [], color=COLOURS[0])}
    near = next((name for name in ("peers", "neighbours") if name in summary.pattern_names), None)
    if near:
        p = summary.pattern_names.index(near)
        for number, outcome in enumerate((SOLVED, FAILED)):
            of_outcome = summary.outcome[number, ..., p]
            if np.isfinite(of_outcome).any():
                ax.plot(x, np.log(np.nanmean(of_outcome, (1, 2))), color=outcome.colour, linestyle=outcome.line)
                line = Line2D([], [], color=outcome.colour, linestyle=outcome.line)
                entries[f"log lift on {near}, {outcome.name} puzzles"] = line
    ax.axhline(0, color=GREY, linewidth=0.7, linestyle=":")
    ax.set(xlabel="network call", ylabel="nats")
    return entries


def _lost(ax: Axes, carried: Sequence[Lost]) -> dict[str, Line2D]:
    labels = {("head", "all", "zero"): "all\ncalls", ("head", "all", "mean"): "all,\nmean"}
    labels |= {("head", name, "zero"): f"{name}\ncalls" for name in RANGES}
    labels[("call", "all", "zero")] = "single\ncalls"
    found = {(one.chosen, one.unit, one.calls, one.kind): one for one in carried}
    labels = {key: words for key, words in labels.items() if ("top", *key) in found}
    entries = {}
    for shift, (chosen, colour, marker, words) in enumerate(
        (
            ("top", COLOURS[1], "o", "without the tenth that changes most"),
            ("random", GREY, "s", "without a random tenth"),
            ("needed", COLOURS[2], "^", "without the tenth that is missed most"),
        )
    ):
        for place, key in enumerate(labels):
            if one := found.get((chosen, *key)):
                x = place + 0.2 * shift - 0.2
                ax.plot(x, 100 * one.share, marker, color=colour)
                ax.vlines(x, 100 * one.least, 100 * one.most, color=colour, linewidth=1)
        entries[words] = Line2D([], [], color=colour, marker=marker, linestyle="")
    for goal in (20, 80):
        ax.axhline(goal, color=GREY, linewidth=0.7, linestyle=":")
    ax.set_xticks(range(len(labels)), list(labels.values()), fontsize=SMALL)
    ax.set(ylabel="share of the gain lost (%)")
    return entries


def map_figure(summary: HeadSummary, places: Sequence[tuple[int, int]], first: str) -> Figure:
    """The mean maps of some heads, (layer, head), before (above) and after (below); rows are queries."""
    titles = [f"{name}, {summary.layer_names[y]}.{n}" for name in (first, "after") for y, n in places]
    with paper_style():
        figure, axes = panel_grid(titles, len(places), height=1.9)
        maps = [summary.maps[number][place] for number in (summary.names.index(first), 0) for place in places]
        for ax, values in zip(axes, maps, strict=True):
            ax.imshow(values, cmap="viridis", vmin=0, vmax=max(of.max() for of in maps), aspect="auto")
            ax.set(xticks=[], yticks=[])
        headline(figure, f"{summary.label}: mean attention of cells (rows) to positions")
        figure.draw_without_rendering()
    return figure
