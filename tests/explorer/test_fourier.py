"""Fourier structure and routing of stored checkpoints: one threshold acts on all plots; and the norms of matrices."""

import numpy as np
import pytest

from rrm.explorer.page import own_controls
from rrm.explorer.selection import Selection
from rrm.explorer.tabs import TABS
from rrm.explorer.view import View
from rrm.statistics.routing import Routing, RoutingTrace, save_routing
from rrm.statistics.spectra import save_spectra, spectra
from rrm.tracking.reader import Run
from tests.explorer.memory import STEPS, Memory, make_run
from tests.statistics.test_fourier import ideal

P = 11


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """A training of a - b, whose waves are of unlike weight at the end, and the study of it; and another training."""
    folder, rng = tmp_path_factory.mktemp("study"), np.random.default_rng(0)
    mine, other = make_run(0, "baseline", 0), make_run(1, "noise", 0)
    logits = ideal(P, "subtract", (2, 4), [4.0, 2.0]) + 0.01 * rng.normal(size=(P, P, P))
    train, embedding = rng.random((P, P)) < 0.5, rng.normal(size=(P, 6))
    moments = [("initial", 0, rng.normal(size=(P, P, P)), embedding), ("500", 500, logits, embedding)]
    save_spectra([spectra("net", "subtract", moments, train, mine.id)], folder / "spectra.npz")
    answers = np.subtract.outer(np.arange(P), np.arange(P)) % P
    weights = {name: rng.dirichlet(np.ones(3), (P, P)) for name in ("layer_0_attention", "layer_0_mlp")}
    steps = [Routing(step, answers, weights) for step in range(0, 600, 100)]
    save_routing([RoutingTrace("net", mine.id, steps)], folder / "routing.npz")
    study = Run("5" * 32, "study", "grokking-study", "study", "study", None, "FINISHED", 1.0, 2.0, {},
                {"rrm.source_run": mine.id}, {})  # fmt: skip
    head = "probe/layers/weight_norm/layers.0.attention."
    curves = {head + name: (STEPS, 1.0 + STEPS) for name in ("query.weight", "out.weight")}
    reader = Memory([mine, other, study], {mine.id: curves | {"routing/layer_0_mlp/head_1": (STEPS, 1.0 * STEPS)}})
    reader.file = lambda run, name: folder / name if run == study else Memory.file(reader, run, name)
    return reader


def figures(reader, view):
    return TABS[view.tab].figures(Selection.of(reader, view), view)


def test_the_threshold_acts_on_every_plot_of_a_checkpoint(reader):
    low, high = (figures(reader, View("fourier", threshold=threshold)) for threshold in (0.05, 0.5))
    embedding, logits, plane, table, loss, accuracy, along = low
    assert logits.layout.title.text.startswith("logits, variance explained by waves of a − b")
    key, rest = logits.data
    assert list(key.x) == [2, 4] and list(rest.x) == [1, 3, 5] and list(high[1].data[0].x) == [2]
    # The characters of a - b are off the diagonal of a + b.
    assert sorted(zip(plane.data[1].x, plane.data[1].y, strict=True)) == [(-4, 4), (-2, 2), (2, -2), (4, -4)]
    cells = np.array(plane.data[0].z, float)
    assert cells[P // 2 + 2, P // 2 - 2] > -1 and cells[P // 2 + 2, P // 2 + 2] < -3
    assert list(table.data[0].cells["values"][0])[:2] == ["2", "4"] and "key frequency" == embedding.data[0].name
    excluded = [trace.y[2] for trace in accuracy.data]
    # Without one of the two waves the other one still answers.
    assert max(excluded) < 0.5 and min(trace.y[2] for trace in high[5].data) == 1.0
    assert loss.layout.yaxis.type == "log" and loss.data[0].y[2] > high[4].data[0].y[2]
    assert along.data[1].y[1] > 0.99 > high[6].data[1].y[1] and along.layout.shapes[0].x0 == 500


def test_checkpoints_are_chosen_and_those_of_runs_that_are_not_drawn_are_left_out(reader):
    tab, view = TABS["fourier"], View("fourier", picks=("net: step 0, initial", "gone"))
    selection = Selection.of(reader, view)
    assert tab.picker.options(selection) == ["net: step 0, initial", "net: step 500"]
    assert "step 0" in figures(reader, view)[0].layout.title.text and figures(reader, view)[-1].layout.shapes[0].x0 == 0
    offered, _, title, hidden, without_threshold = own_controls(tab, selection, view)
    assert offered[-1] == "gone" and title == "Checkpoints" and not hidden and not without_threshold
    assert figures(reader, View("fourier", runs=("00000001",))) == []
    # A filter of jobs keeps the studies of what it shows.
    assert figures(reader, View("fourier", jobs=("job",))) and figures(reader, View("fourier", jobs=("gone",))) == []


def test_routers_have_maps_along_the_training_and_by_head_and_layers_choose_among_them(reader):
    found = figures(reader, View("routing"))
    assert len(found) == 1 + 2 * 4 and found[0].layout.title.text == "use of heads"
    evolution, weights, by_answer, use = found[1:5]
    assert [note.text for note in evolution.layout.annotations] == ["step 0", "step 200", "step 300", "step 500"]
    assert len(weights.data) == 3 and weights.layout.meta["wide"] and np.shape(by_answer.data[0].z) == (3, P)
    assert [len(trace.x) for trace in use.data] == [6] * 3
    alone = figures(reader, View("routing", layers=("layer_0_mlp",)))
    assert len(alone) == 1 + 4 and alone[1].layout.title.text.startswith("layer 0 mlp")
    assert TABS["routing"].layers(Selection.of(reader, View()))[:2] == ["layer_0_attention", "layer_0_mlp"]


def test_weights_have_a_panel_for_the_matrices_of_each_part_of_a_block(reader):
    (attention,) = figures(reader, View("weights"))
    assert attention.layout.title.text == "norm of layer 0, attention"
    assert [trace.name for trace in attention.data if trace.x[0] is None] == ["Q", "O"]
    assert TABS["weights"].layers(Selection.of(reader, View())) == ["layer 0, attention"]
    assert figures(reader, View("weights", layers=("layer 1",))) == []
