"""The tab of heads, of a made-up summary."""

import numpy as np

from rrm.explorer.app import csv_text
from rrm.explorer.page import no_data
from rrm.explorer.selection import Selection
from rrm.explorer.tabs import TABS
from rrm.explorer.tabs.heads import head_figures
from rrm.explorer.view import View
from rrm.statistics.head_seeds import save_measures
from rrm.tasks.head_summary import save_heads
from rrm.tracking.reader import Run
from tests.explorer.memory import Memory, make_run
from tests.reports.test_head_seeds import swept
from tests.statistics.test_heads import summary


class Stored(Memory):
    """A training and the study of its heads."""

    def __init__(self, path):
        save_heads(summary(), path)
        study = Run("5" * 32, "heads-1", "heads", "study", "heads-1", None, "FINISHED", 1.0, 2.0, {}, {}, {})
        super().__init__([make_run(0, "a", 0), study], {})
        self.folder = path.parent

    def files(self, run):
        return [path.name for path in self.folder.iterdir()] if run.kind == "heads" else []

    def file(self, run, name):
        return self.folder / name if name in self.files(run) else super().file(run, name)


def test_the_tab_draws_scores_changes_calls_and_maps(tmp_path):
    reader, view = Stored(tmp_path / "heads.npz"), View(tab="heads")
    found = TABS["heads"].figures(Selection.of(reader, view), view)
    assert [figure.layout.title.text for figure in found] == [
        "What heads look at", "Which heads change", "Change by call", "Patterns by call",
        "Maps of the heads that change most",
    ]  # fmt: skip
    one = summary()
    scores, changes, by_call, patterns, maps = found
    assert np.allclose(scores.data[0].z, one.log_lift("after").reshape(4, 3))
    assert list(scores.data[0].y) == ["0.0", "0.1", "1.0", "1.1"]
    inside = (one.lift[0].mean(0) > 0.9) & (one.lift[0].mean(0) < 1.1)
    assert np.array_equal(np.array(scores.data[0].text) == "", inside.reshape(4, 3))
    assert np.allclose(changes.data[0].y, np.sort(one.js[0].mean(0).ravel())[::-1])
    assert np.allclose(by_call.data[0].y, one.js[0].mean((1, 2))) and len(patterns.data) == 3
    assert np.array(maps.data[0].z).shape == (4, 4 * 5 + 3)
    assert all(csv_text(figure) for figure in found[1:4])
    assert head_figures(one, View(dark=True))[1].data[0].marker.color != changes.data[0].marker.color
    assert TABS["heads"].command in str(no_data("heads", 1))


def test_a_sweep_is_drawn_over_its_seeds_beside_the_nulls(tmp_path):
    reader, view = Stored(tmp_path / "heads.npz"), View(tab="heads")
    save_measures(swept().measures, tmp_path / "head_seeds.json")
    found = TABS["heads"].figures(Selection.of(reader, view), view)
    titles = [figure.layout.title.text for figure in found]
    assert titles[0] == "Which heads, heads-1" and titles[-1] == "Maps of the heads that change most, heads-1"
    lost = next(figure for figure in found if figure.layout.title.text.startswith("Share of the gain"))
    seeds, means, null = lost.data
    assert len(seeds.x) == 15 and list(means.y) == ["changed most", "missed most", "at random"]
    assert means.x[0] < 6 and list(null.y) == ["changed most", "missed most"]  # per cent
