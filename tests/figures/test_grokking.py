"""Figures of runs that grok, from made-up series."""

import numpy as np
import pytest

from rrm.figures.grokking_fourier import fourier_figure
from rrm.figures.grokking_history import history_figure
from rrm.figures.grokking_survival import grokking_survival
from rrm.panels import HISTORIES
from rrm.statistics.fourier import fourier
from rrm.statistics.grok_times import GrokTimes
from rrm.statistics.training_runs import TrainingRun, TrainingRuns


def run(seed, decay, grok, last=4000):
    """Every series of every panel; a run without decay never groks."""
    steps = np.arange(0, last + 1, 50)
    names = [
        name.replace("*", "0") for panels in HISTORIES.values() for panel in panels for name in panel.series.values()
    ]
    names += ["probe/weight_norm/layer/unembedding", "gates/layer_1"]
    curves = {name: (steps, 1e-3 * (1 + seed) * (1 + steps / 100.0)) for name in names}
    curves |= {
        "train/accuracy": (steps, np.clip(steps / 100, 0, 1)),
        "test/accuracy": (steps, np.clip((steps - grok + 1000) / 1000, 0, 1)),
    }
    return TrainingRun(f"{decay} {seed}", "token_mlp", f"weight decay {decay}", seed, {}, curves)


RUNS = TrainingRuns([run(0, 1, 2500), run(1, 1, 3000), run(0, 0, 9999), run(1, 0, 9999)])


def legend(figure):
    return [name.get_text() for name in figure.legends[0].get_texts()]


@pytest.mark.parametrize("name", HISTORIES)
def test_histories_of_one_run_and_of_many(name, overlaps):
    many, one = history_figure(RUNS, HISTORIES[name]), history_figure(RUNS[:1], HISTORIES[name])
    for figure in (many, one):
        assert len(figure.axes) == len(HISTORIES[name]) and not overlaps(figure)
    assert legend(many)[0].endswith("weight decay 1 (2 of 2 grok)") and legend(many)[1].endswith("(0 of 2 grok)")
    # Phases of the run in steps; the last one has its last step, too.
    assert [text.split(",")[0] for text in legend(one)] == ["memorisation", "plateau", "grokking", "after"]
    assert sum(int(text.split()[1]) for text in legend(one)) == 4001


def test_only_what_runs_have_is_drawn():
    (bare,) = TrainingRuns(
        [TrainingRun("a", "m", "", 0, {}, {k: RUNS[0].curves[k] for k in ("train/accuracy", "test/accuracy")})]
    )
    figure = history_figure(TrainingRuns([bare]), HISTORIES["training"])
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["accuracy"]
    assert history_figure(TrainingRuns([bare]), HISTORIES["curvature"]) is None
    accuracy = figure.axes[0]
    assert {0.95, 0.98} <= {line.get_ydata()[0] for line in accuracy.lines}
    assert accuracy.get_xscale() == "log" and min(accuracy.lines[0].get_xdata()) == 50


def test_runs_that_never_grok_stay_at_risk(overlaps):
    arms = [
        GrokTimes("decay 1", {0: 2500, 1: 2900, 2: 2825}, {}, {0: 100}),
        GrokTimes("decay 0", {}, {0: 7700, 1: 7700}),
    ]
    figure = grokking_survival(arms)
    (ax,) = figure.axes
    assert legend(figure) == ["decay 1: 2825", "decay 0: > 7700"] and not overlaps(figure)
    curves = [line for line in ax.lines if line.get_drawstyle() == "steps-post"]
    assert [line.get_ydata()[-1] for line in curves] == [0, 100]
    (bars,) = [line for line in ax.lines if line.get_marker() == "|"]
    assert bars.get_xdata().tolist() == [7700, 7700] and bars.get_ydata().tolist() == [100, 100]
    assert not overlaps(grokking_survival([GrokTimes("alone", {0: 1})]))


@pytest.mark.parametrize("operation", ["add", "divide"])
def test_the_characters_of_the_operation_are_marked(operation, overlaps):
    p, random = 23, np.random.default_rng(0)
    found = fourier(
        random.standard_normal((p, p, p)), operation, random.standard_normal((p, 8)), random.random((p, p)) < 0.5
    )
    figure = fourier_figure("random", found)
    assert not overlaps(figure)
    marks = [line for line in figure.axes[2].lines if line.get_marker() == "o"]
    assert len(marks) == len(found.keys)
    (a, b), sign = (marks[0].get_ydata(), marks[0].get_xdata()), 1 if operation == "add" else -1
    assert [int(y) for y in a] == [found.keys[0], -found.keys[0]] and [sign * x for x in b] == list(a)
    assert not overlaps(fourier_figure("without an embedding", fourier(random.standard_normal((p, p, p)), operation)))
