"""Every tab's figures, from runs in memory; and the page's parts."""

import json
import subprocess
import sys

import numpy as np
import pytest
from plotly.graph_objects import Figure
from safetensors.numpy import save_file

from rrm.errors import InputError
from rrm.explorer import palette
from rrm.explorer.app import extent
from rrm.explorer.page import legend, no_data, run_table
from rrm.explorer.selection import Selection
from rrm.explorer.table import csv_text
from rrm.explorer.tabs import TABS
from rrm.explorer.view import View
from rrm.panels import HISTORIES
from rrm.tracking.reader import Run
from tests.explorer.memory import Memory, make_run

# Tabs that draw no series.
OF_RESULTS = ("exponents", "settling", "boards", "heads", "claims", "fourier", "selection")
HOSTILE = '<img src=x onerror="window.hurt=1">'


def figures(reader, view):
    return TABS[view.tab].figures(Selection.of(reader, view), view)


def lines(figure, group=None):
    return [trace for trace in figure.data if trace.meta == "line" and group in (None, trace.legendgroup)]


@pytest.mark.parametrize("tab", [tab for tab in TABS if tab not in (*OF_RESULTS, "arms", "numbers", "grokking")])
def test_a_tab_draws_groups_or_says_which_command_makes_its_data(reader, tab):
    view = View(tab=tab)
    found = figures(reader, view)
    assert found and all({trace.legendgroup for trace in lines(figure)} == {"baseline", "noise"} for figure in found)
    assert TABS[tab].command.startswith("python ") and TABS[tab].command in str(no_data(tab, 3))
    bare = Memory([make_run(0, "a", 0)], {})
    assert figures(bare, view) == [] and TABS[tab].layers(Selection.of(bare, view)) == []


def test_panels_of_a_report_are_panels_of_the_page(reader):
    assert [figure.layout.title.text for figure in figures(reader, View(tab="curvature"))] == [
        panel.title for panel in HISTORIES["curvature"]
    ]


def test_a_group_is_median_range_and_number_of_its_runs(reader):
    loss = figures(reader, View())[0]
    (median,) = [trace for trace in lines(loss, "baseline") if trace.name == "baseline: test"]
    np.testing.assert_allclose(median.y, 2 + np.exp(-np.arange(0, 1001, 10) / 300))
    assert set(median.customdata) == {3} and any(trace.meta == "range" for trace in loss.data)
    (gap,) = [trace for trace in lines(loss, "noise") if trace.name == "noise: test"]
    assert gap.customdata[55] == gap.customdata[70] == 2  # one of the three is not finite there
    alone = figures(reader, View(group=()))[0]
    assert np.isnan(next(trace for trace in lines(alone, "trial-005")).y[50:60]).all()
    single = figures(reader, View(lines=True))[0]
    assert len(lines(single, "noise")) == 2 * (3 + 1)


def test_figures_say_what_was_done_to_the_points(reader, monkeypatch):
    def note(**fields):
        return figures(reader, View(**fields))[0].layout.title.subtitle.text

    assert note() == "" and note(smooth=5) == "mean of 5 points"
    assert note(x="grokked") == "5 runs have no steps since grokked"
    monkeypatch.setattr("rrm.explorer.tabs.panels.MOST_OF_LINE", 40)
    assert "of 404 points, extremes kept" in note() and figures(reader, View())[0].layout.meta["thinned"]
    part = figures(reader, View(begin=100, end=200))[0]
    assert list(part.layout.xaxis.range) == [100, 200] and len(lines(part)[0].x) == 13


def test_axes_scales_and_layers(reader):
    loss = figures(reader, View(scale_x="log", scale_y="linear", begin=10))[0]
    assert (loss.layout.xaxis.type, loss.layout.yaxis.type) == ("log", "linear")
    assert list(loss.layout.xaxis.range) == [1.0, None]
    view = View(tab="weights", layers=("other",))
    assert TABS["weights"].layers(Selection.of(reader, view)) == ["0"]
    assert "norm by layer" not in [figure.layout.title.text for figure in figures(reader, view)]
    calls = figures(reader, View(x="calls"))
    assert extent(calls) == [0.0, 2000.0] and calls[0].layout.xaxis.title.text == "network calls"


def test_names_are_text(reader):
    runs = [make_run(0, HOSTILE, 0, name=HOSTILE), make_run(1, "b", 0)]
    curves = {run.id: reader.curves(reader.every_run()[0]) for run in runs}
    view = View()
    selection = Selection.of(Memory(runs, curves), view)
    found = TABS["training"].figures(selection, view)
    assert all("<img" not in str(trace.name) + str(trace.hovertemplate) for figure in found for trace in figure.data)
    assert HOSTILE in str(run_table(runs, view)) and HOSTILE in str(legend(selection, found, view))


def test_a_table_of_a_figure_has_a_row_a_point(reader):
    rows = csv_text(figures(reader, View())[1]).splitlines()
    assert rows[0] == "line,x,y,low,high,runs" and len(rows) == 1 + 2 * 2 * 101
    assert rows[1] == "baseline: test,0.0,3.0,,,3"


def test_a_table_has_all_points_and_the_ends_of_the_range(reader, monkeypatch):
    monkeypatch.setattr("rrm.explorer.tabs.panels.MOST_OF_LINE", 40)
    view = View(begin=100, end=200)
    selection = Selection.of(reader, view)
    drawn = csv_text(TABS["training"].figures(selection, view)[1])
    selection.whole = True
    rows = csv_text(TABS["training"].figures(selection, view)[1]).splitlines()
    assert len(rows) == 1 + 2 * 2 * 101 > len(drawn.splitlines()) and rows[1] == "baseline: test,0.0,3.0,2.0,4.0,3"


def test_a_table_of_intervals_of_maps_and_of_a_table():
    figure = Figure([
        {"type": "scatter", "x": [2.0], "y": ["<b>"], "meta": "points", "name": "a &amp; b", "customdata": ["words"],
         "error_x": {"array": [1.0], "arrayminus": [0.5]}},
    ])  # fmt: skip
    assert csv_text(figure).splitlines() == ["line,x,y,low,high,runs", "a & b,2.0,<b>,1.5,3.0,"]
    cells = {"type": "heatmap", "z": [[1, 2]], "x": [5, 6], "y": [7], "meta": "cells", "name": "m"}
    assert csv_text(Figure([cells])).splitlines() == ["map,x,y,value", "m,5,7,1", "m,6,7,2"]
    table = {"type": "table", "meta": "table", "header": {"values": ["k"]}, "cells": {"values": [["1", "&lt;"]]}}
    assert csv_text(Figure([table])).splitlines() == ["k", "1", "<"]


def test_colours_are_those_of_the_figures():
    from rrm.figures.style import COLOURS

    assert palette.LIGHT == COLOURS and len(set(palette.colours_of(40))) == palette.STEPS
    assert palette.see_through("#332288", 0.2) == "rgba(51, 34, 136, 0.2)"
    assert palette.see_through("rgb(1, 2, 3)", 0.2) == "rgba(1, 2, 3, 0.2)"


def test_the_page_imports_neither_torch_nor_mlflow():
    code = "import sys, rrm.explorer.app, rrm.explorer.server; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "mlflow", "ray", "scipy", "matplotlib"} & set(loaded)


@pytest.mark.parametrize("tab", OF_RESULTS)
def test_a_tab_of_results_needs_results(reader, tab):
    assert figures(reader, View(tab)) == [] and TABS[tab].command.startswith("python ")


@pytest.fixture
def measured(reader, tmp_path):
    """The reader, with a measurement of its last run: 2 of 3 puzzles solved, one rollout that became infinite."""
    arrays = {
        "lambda_per_call": np.array([[-0.3, -0.4], [0.2, -0.1], [np.nan, np.nan]], np.float32),
        "lambda_segments": np.arange(12, dtype=np.float32).reshape(3, 2, 2),
        "drift_H": np.array([[1.0, 0.1], [1.0, 0.9], [np.inf, np.inf]], np.float32),
        "solved_at": np.array([[False, True], [False, False], [True, True]]),
        "solved": np.array([True, False, True]), "finite": np.array([True, True, False]),
    }  # fmt: skip
    path = tmp_path / "lyapunov.safetensors"
    settings = {"unit": "nats per call", "segments": 2}
    save_file(arrays, path, {"rrm": json.dumps({"schema": "rrm-lyapunov", "settings": settings})})
    last = reader.every_run()[-1]
    reader.file = lambda run, name: path if run == last else Memory.file(reader, run, name)
    return reader


def test_exponents_and_settling_tell_solved_from_failed(measured):
    boxes, spectrum, local = figures(measured, View("exponents"))
    assert [list(trace.x) for trace in boxes.data] == [pytest.approx([-0.3]), pytest.approx([0.2])]
    assert [list(trace.y) for trace in lines(spectrum)] == [pytest.approx([-0.3, -0.4]), pytest.approx([0.2, -0.1])]
    assert [list(trace.y) for trace in lines(local)] == [[0.0, 2.0], [4.0, 6.0]]
    settled, cloud, thresholds, drift, survival = figures(measured, View("settling"))
    # Of the two finite puzzles the solved one has come to rest, and the failed one still moves.
    assert [list(trace.customdata) for trace in settled.data] == [[1], [0], [0], [1]]
    assert [list(trace.y) for trace in cloud.data] == [pytest.approx([-0.3]), pytest.approx([0.2])]
    assert [trace.y[-1] for trace in thresholds.data] == pytest.approx([50.0, 0.0, 0.0, 50.0])
    assert list(lines(drift)[0].y) == pytest.approx([1.0, 0.1]) and drift.layout.yaxis.type == "log"
    assert list(lines(survival)[0].y) == pytest.approx([2 / 3, 1 / 3])
    assert extent([drift, boxes]) is None and "noise, trial-005" in str(legend(None, [drift], View("settling")))


def test_a_study_of_a_drawn_training_is_drawn_with_its_deep_rollouts(measured, tmp_path):
    last = measured.every_run()[-1]
    of = {"rrm.source_run": last.id, "rrm.label": "trm_mlp, noise"}
    study = Run("d" * 32, "s", "stability", "study", "s", None, "FINISHED", 0.0, 1.0, {}, of, {})
    reader = Memory([*measured.every_run(), study], {})
    np.savez(tmp_path / "deep.npz", solved=np.array([[0, 1, 1, 1], [0, 0, 0, 0], [0, 0, 0, 1], [1, 1, 1, 1]], bool))
    files = {"result.safetensors": measured.file(last, ""), "deep.npz": tmp_path / "deep.npz"}
    reader.file = lambda run, name: files[name] if run == study else Memory.file(reader, run, name)
    *_, deep = figures(reader, View("settling", runs=(last.id[:8],)))
    line, constant = lines(deep)
    assert line.name == "trm_mlp, noise, s" and list(line.x) == [1, 2, 4]
    assert list(line.y) == [0.75, 0.5, 0.25] and list(line.customdata) == [4, 3, 2]
    # Of the two puzzles that are unsolved after segment 2, one is solved in one of the 4 segments that they have.
    assert list(constant.x) == [2, 3, 4] and list(constant.y) == pytest.approx([0.5, 0.375, 0.28125])
    assert figures(reader, View("settling", runs=(measured.every_run()[0].id[:8],))) == []


def test_measured_models_collapse_over_seeds_and_keep_their_colours(measured, monkeypatch):
    runs = measured.every_run()
    path = measured.file(runs[-1], "")
    measured.file = lambda run, name: path
    distributions, spectrum, _ = figures(measured, View("exponents"))
    assert sorted(set(distributions.data[0].y)) == ["baseline (3 runs)", "noise (3 runs)"]
    assert len(distributions.data[0].x) == 2 * 3 and len(lines(spectrum)) == 4
    assert "median of 3 puzzles, 3 models" in lines(spectrum)[0].hovertemplate
    assert sum(trace.meta == "range" for trace in spectrum.data) == 4
    every = figures(measured, View("exponents", lines=True))[1]
    assert len(lines(every)) == 4 * (1 + 3)
    # A group has its colour in a panel that the group before lacks, too.
    bare = path.with_name("bare.safetensors")
    save_file({"lambda_per_call": np.zeros((3, 2), np.float32), "solved": np.array([True, False, True])}, bare,
              {"rrm": json.dumps({"schema": "rrm-lyapunov", "settings": {}})})  # fmt: skip
    measured.file = lambda run, name: path if run.tags["rrm.arm"] == "noise" else bare
    survival = figures(measured, View("settling"))[-1]
    colours = {trace.line.color for trace in lines(spectrum, "noise (3 runs)")}
    assert colours == {trace.line.color for trace in lines(survival)} == {palette.LIGHT[1]}
    monkeypatch.setattr("rrm.explorer.tabs.stability.MOST", 2)
    alone = figures(measured, View("exponents", group=("arm", "seed")))[0]
    assert alone.layout.title.subtitle.text.startswith("baseline, seed 0: 2 of 3 solved")
    monkeypatch.setattr("rrm.explorer.tabs.stability.MOST", 3)
    alone = figures(measured, View("exponents", group=("arm", "seed")))[0]
    assert alone.layout.title.subtitle.text == "the first 3 of 6 groups"
    monkeypatch.setattr("rrm.explorer.tabs.settling.MOST", 3)
    measured.file = lambda run, name: path
    settled = figures(measured, View("settling", group=("arm", "seed")))[0]
    assert settled.layout.title.subtitle.text.endswith("; the first 3 of 6 groups")


def sweep_of(metrics, **fields):
    own = {"id": "e" * 32, "kind": "sweep", "group": "job", **fields}
    return Run(own["id"], own["group"], own["kind"], "sweep", own["group"], None, "FINISHED", 0.0, 1.0, {},
               own.get("tags", {}), metrics)  # fmt: skip


def test_arms_are_differences_with_seeds_and_baselines_with_another_mark():
    trials = [make_run(n, arm, n % 2, {"test/best_exact": 0.5 + 0.1 * n}) for n, arm in
              enumerate(("baseline", "baseline", "noise", "noise"))]  # fmt: skip
    trials = [Run(**{**vars(run), "tags": run.tags | {"rrm.baseline": str(run.tags["rrm.arm"] == "baseline")}})
              for run in trials]  # fmt: skip
    metrics = {"arms/trm_mlp/noise/peak": 0.2, "arms/trm_mlp/noise/peak_low": 0.1, "arms/trm_mlp/noise/peak_high": 0.4,
               "arms/trm_mlp/noise/seeds": 2.0}  # fmt: skip
    difference, reached = figures(Memory([sweep_of(metrics), *trials], {}), View("arms"))
    value, seeds = difference.data
    assert list(value.y) == ["trm_mlp/noise"] and list(seeds.x) == pytest.approx([0.2, 0.2])
    assert list(value.error_x.array) == pytest.approx([0.2]) and list(value.error_x.arrayminus) == pytest.approx([0.1])
    base, _, seeds, median = reached.data
    assert list(base.x) == [0.5, 0.6] and list(median.x) == pytest.approx([0.75]) and base.name == "baseline, seeds"
    assert base.marker.symbol == "diamond-open" and seeds.marker.symbol == "circle-open"
    twice = Memory([sweep_of(metrics), sweep_of(metrics, id="d" * 32)], {})
    assert len({figure.layout.title.text for figure in figures(twice, View("arms"))}) == 2


def test_claims_stand_between_their_null_and_what_counts_and_lead_to_their_runs(reader, tmp_path):
    (tmp_path / "claims.csv").write_text(
        "claim,test,effect,unit,seeds,null,counts from,p,p corrected,would be found,verdict,values by seed,runs\n"
        f'one,t,"0.8 [0.7, 0.9]",AUC,5,0.5 (control 0.51),0.7,0,0.01,about 0.1,holds,0:0.8,{"e" * 32} {"9" * 32}\n'
        "two,t,,points,0,0 (control 0),2,,,,cannot be said,,\n",
        encoding="utf-8",
    )
    study = sweep_of({}, kind="claims", id="c" * 32, group="claims")
    reader = Memory([study, sweep_of({}), *reader.every_run()], {})
    reader.file = lambda run, name: tmp_path / name if run == study else Memory.file(reader, run, name)
    forest, numbers = figures(reader, View("claims"))
    holds, _, open_, null, found = forest.data
    assert list(holds.x) == pytest.approx([1.5]) and list(holds.error_x.array) == pytest.approx([0.5])
    assert np.isnan(open_.x[0]) and null.x[0] == pytest.approx(0.05) and found.x[0] == pytest.approx(0.5)
    assert list(numbers.data[0].cells["values"][1]) == ["0.8 [0.7, 0.9]", ""]
    (runs,) = [note.text for note in forest.layout.annotations]
    assert 'href="?jobs=job"' in runs and 'href="?runs=99999999"' in runs
    (tmp_path / "claims.csv").write_text("claim\none\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"claims\.csv.*make the table again"):
        figures(reader, View("claims"))


def test_numbers_are_whatever_was_recorded_by_its_name(reader):
    study = sweep_of({"auc/shuffled": 0.5, "auc/shuffled_low": 0.4, "auc/shuffled_high": 0.6}, kind="stability")
    reader = Memory([study, *reader.every_run()], reader._curves)
    options = TABS["numbers"].picker.options(Selection.of(reader, View("numbers")))
    assert {"train/loss", "call_units", "auc/shuffled"} <= set(options) and "auc/shuffled_low" not in options
    titles = [figure.layout.title.text for figure in figures(reader, View("numbers"))]
    assert "call_units" in titles and "train/loss" not in titles
    chosen = figures(reader, View("numbers", picks=("train/loss", "auc/shuffled", "not there")))
    assert [figure.layout.title.text for figure in chosen] == ["train/loss", "auc/shuffled, of sweeps and studies"]
    assert list(chosen[1].data[0].error_x.array) == pytest.approx([0.1])


def test_selectors_have_their_accuracy_by_rollouts_and_by_calls_and_the_choice_its_ring():
    metrics = {"accuracy/depth_8/clean": 0.6, "stops/depth_8/first_to_halt": 0.9, "choice/clean": 0.6,
               "choice/where_z_L/sigma_0.1": 0.7, "choice/where_z_L/sigma_1": 0.2,
               "against_depth/depth_8/K_4/clean": 0.65}  # fmt: skip
    for count in (1, 4):
        for selector, accuracy in (("best_Q", 0.6 + 0.05 * count), ("random", 0.6)):
            of = f"depth_8/K_{count}/{selector}"
            metrics |= {f"accuracy/{of}": accuracy, f"calls/{of}": 48.0 * count, f"against_depth/{of}": 0.1,
                        f"accuracy/{of}_low": accuracy - 0.1, f"accuracy/{of}_high": accuracy + 0.1,
                        f"one_rollout_of_these_calls/{of}": 0.6 + 0.01 * count}  # fmt: skip
    study = sweep_of(metrics, kind="selector", group="s", tags={"rrm.chosen_sigma": "0.1", "rrm.chosen_where": "z_L"})
    reader = Memory([study], {})
    rollouts, calls, depth, choice, stops = figures(reader, View("selection"))
    assert [trace.name for trace in rollouts.data] == ["best Q", "random"] and list(rollouts.data[0].x) == [1, 4]
    assert list(rollouts.data[0].y) == pytest.approx([0.65, 0.8]) and rollouts.layout.shapes[0].y0 == 0.6
    assert list(rollouts.data[0].error_y.array) == pytest.approx([0.1, 0.1])
    assert calls.data[-1].name == "one rollout as long" and list(calls.data[-1].x) == [48, 192]
    assert list(depth.data[0].y) == ["best Q", "random"] and list(stops.data[0].y) == ["depth 8/first to halt"]
    assert (choice.data[-1].name, list(choice.data[-1].x)) == ("chosen", [0.1])
    twice = Memory([study, sweep_of(metrics, kind="selector", group="s", id="d" * 32)], {})
    assert TABS["selection"].picker.options(Selection.of(twice, View())) == ["s", f"s ({'d' * 8})"]


def test_a_study_of_stability_shows_what_tells_failed_puzzles_and_its_controls(measured):
    study = sweep_of({"auc/labels_shuffled": 0.5, "auc/labels_shuffled_low": 0.4, "auc/labels_shuffled_high": 0.6},
                     kind="stability", group="s")  # fmt: skip
    reader = Memory([*measured.every_run(), study], {})
    reader.file = measured.file
    (areas,) = [figure for figure in figures(reader, View("exponents")) if "controls" in figure.layout.title.text]
    assert list(areas.data[0].y) == ["labels shuffled"] and areas.layout.shapes[0].x0 == 0.5


def test_runs_that_grok_have_survival_events_and_a_table():
    steps = np.arange(0, 1001, 10)
    runs = [make_run(number, ("baseline", "noise")[number // 3], number % 3) for number in range(6)]
    curves = {
        run.id: {"train/accuracy": (steps, 1.0 * (steps >= 50)),
                 "test/accuracy": (steps, 1.0 * (steps >= (300 + 100 * number if number < 2 else 5000)))}
        for number, run in enumerate(runs)
    }  # fmt: skip
    survival, events, table = figures(Memory(runs, curves), View("grokking"))
    baseline, ended, noise, _ = survival.data
    assert list(baseline.x) == [1, 300, 400, 1000] and list(baseline.y) == pytest.approx([1, 2 / 3, 1 / 3, 1 / 3])
    assert list(ended.x) == [1000] and list(noise.y) == [1, 1] and "2 of 3 runs grok" in baseline.hovertemplate
    assert [len(trace.x) for trace in events.data] == [6, 2] and set(events.data[0].x) == {50}
    cells = dict(zip(table.data[0].header["values"], table.data[0].cells["values"], strict=True))
    shares = dict(zip(cells["grokked"], cells["test >= 95 %"], strict=True))
    assert shares == {"300": "70", "400": "60", "&gt; 1000": "0"}
    assert figures(Memory(runs, {}), View("grokking")) == []
