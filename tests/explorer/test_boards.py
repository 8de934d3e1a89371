"""Boards: figures of a made-up trace, and a page on which keys step through them."""

import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest

from rrm.explorer.app import make_app
from rrm.explorer.export import page as exported
from rrm.explorer.page import no_data
from rrm.explorer.selection import Selection
from rrm.explorer.server import serve
from rrm.explorer.table import csv_text
from rrm.explorer.tabs import TABS
from rrm.explorer.tabs.boards import board_figures, moments
from rrm.explorer.view import View
from rrm.tasks import get_task
from rrm.tasks.trace import Trace, save_trace
from rrm.tracking.reader import Run
from tests.explorer.memory import Memory, make_run

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SEGMENTS, CALLS = 2, "LLH"


def made_up(name: str = "sudoku-4x4") -> Trace:
    """Two puzzles of two rollouts: of the first one all cells are right after call 6, of the second one never."""
    puzzles = get_task(name).generate(2, seed=0)
    answers = np.repeat(np.repeat(puzzles.labels[:, None, None], 2, 1), len(CALLS) * SEGMENTS, 2)
    answers[0, :, :5, 3] = np.where(puzzles.labels[0, 3] == 2, 3, 2)
    answers[1, 0, :, :2] = np.where(puzzles.labels[1, :2] == 2, 3, 2)
    probability = np.full(answers.shape, 200, np.uint8)
    shape = answers.shape[:3]
    drift = np.geomspace(10, 0.1, shape[2], dtype=np.float32) * np.ones(shape, np.float32)
    right = (answers == puzzles.labels[:, None, None]).all(-1)
    where = np.array([4, 9]), puzzles.inputs, puzzles.labels
    return Trace(name, CALLS, 0.3, "z_L", 0, *where, answers, probability, drift, -drift, right)


class Stored(Memory):
    """A training and the study that traced it."""

    def __init__(self, path):
        save_trace(made_up(), path)
        tags = {"rrm.source_run": make_run(0, "a", 0).id}
        study = Run("5" * 32, "boards-1", "boards", "study", "boards-1", None, "FINISHED", 1.0, 2.0, {}, tags, {})
        super().__init__([make_run(0, "a", 0), make_run(1, "b", 0), study], {})
        self.path = path

    def files(self, run):
        return [self.path.name] * (run.kind == "boards")

    def file(self, run, name):
        return self.path if name in self.files(run) else super().file(run, name)


def test_a_board_says_what_is_answered_and_what_changed_and_what_is_wrong():
    solved, failed, rollouts = board_figures(made_up())
    assert solved.layout.title.text == "puzzle 4, solved" and failed.layout.title.text == "puzzle 9, failed"
    assert moments(made_up()).tolist() == [0, 5] and [frame.name for frame in solved.frames] == ["0", "1"]
    words = solved.layout.meta["words"]
    assert words[0] == "segment 1, call 1 (L): 1 cells wrong, 0 changed"
    assert words[1] == "segment 2, call 3 (H): 0 cells wrong, 1 changed"
    board, changed, wrong, drift_cursor, _ = solved.frames[1].data
    label = get_task("sudoku-4x4").decode(made_up().labels[0])
    assert "".join(text.replace("<b>", "").replace("</b>", "") for row in board.text for text in row) == label
    assert len(changed.x) == 6 and wrong.x == (None,) and drift_cursor.x == (6, 6)
    assert board.z[0][0] == pytest.approx(200 / 255, abs=0.01) and "78%" in board.customdata[0][0]
    assert len(failed.frames[1].data[2].x) == 2 * 5
    assert csv_text(solved).count("\r\ndrift,") == 6
    assert list(rollouts.layout.yaxis.ticktext) == ["no noise ✗", "noise 1 ✓"]
    assert np.nanmax(np.array(rollouts.data[0].z, float)) > 1


def test_a_maze_is_tinted_by_what_its_cells_are_and_large_boards_move_by_segments(monkeypatch):
    figure = board_figures(made_up("maze-5x5"))[0]
    tokens = made_up("maze-5x5").answers[0, 0, 0].reshape(5, 5)
    assert (np.floor(np.array(figure.data[0].z)) == np.select([tokens == 1, tokens == 5], [1, 2], 0)).all()
    assert {text for row in figure.data[0].text for text in row} <= {"", "S", "G"}
    monkeypatch.setattr("rrm.explorer.tabs.boards.MOST_CELLS", 20)
    assert moments(made_up()).tolist() == [2, 5]


def test_a_trace_is_that_of_its_study_and_of_the_training(tmp_path):
    reader, tab = Stored(tmp_path / "boards.npz"), TABS["boards"]
    for view, count in ((View(), 3), (View(runs=("00000000",)), 3), (View(runs=("00000001",)), 0)):
        assert len(tab.figures(Selection.of(reader, view), view)) == count
    assert f"--run {'0' * 32}" in str(no_data("boards", 1, "0" * 32)) and "--run RUN_ID" in str(no_data("boards", 1))
    view = View()
    selection = Selection.of(reader, view)
    html = exported("store", view, selection, {"Boards": tab.figures(selection, view)})
    assert "Plotly.addFrames" in html and "Plotly.animate(" not in html.replace(exported("", view, selection, {}), "")


def test_single_puzzles_are_picked_and_have_their_rollouts(tmp_path):
    reader, tab = Stored(tmp_path / "boards.npz"), TABS["boards"]
    selection = Selection.of(reader, View())
    assert tab.picker.options(selection) == ["puzzle 4, solved", "puzzle 9, failed"]
    failed, rollouts = tab.figures(selection, View(picks=("puzzle 9, failed", "puzzle 5, solved")))
    assert failed.layout.title.text == "puzzle 9, failed"
    assert rollouts.layout.title.text == "puzzle 9, noisy rollouts"
    assert len(csv_text(rollouts).splitlines()) == 1 + 2 * SEGMENTS * 16


def test_boards_need_no_torch():
    code = "import sys, rrm.explorer.tabs.boards as b; print('torch' in sys.modules, 'scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False False\n"


class Source:
    """What the page asks of its source, for runs in memory."""

    name = "memory"

    def __init__(self, reader):
        self.reader, self.lock = reader, threading.RLock()

    def version(self):
        return "1"

    def runs(self):
        return self.reader.every_run()

    def select(self, view):
        return Selection.of(self.reader, view)


def wait(page, state, wanted):
    """Until an expression of the page has a value."""
    for _ in range(300):
        if page.evaluate(state) == wanted:
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"{state} is {page.evaluate(state)}, not {wanted}")


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on the path: apt-get install chromium")
def test_keys_step_through_all_boards_and_the_moment_is_in_the_link(tmp_path):
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright, of the test extra, is not installed")
    server = serve(make_app(Source(Stored(tmp_path / "boards.npz"))), 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    said = """() => [...document.querySelectorAll(".js-plotly-plot")].map((one) => one.layout.title.subtitle.text)"""
    drawn = """() => [...document.querySelectorAll(".js-plotly-plot")].slice(0, 2).map((one) => one.data[3].x[0])"""
    errors = []
    try:
        with sync_api.sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            page = browser.new_page()
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.goto(f"http://127.0.0.1:{server.port}/?tab=boards")
            page.wait_for_selector("#stepper:not([hidden])")
            page.keyboard.press("ArrowRight")
            page.wait_for_url("**moment=1**")
            wait(page, drawn, [6, 6])
            assert [text[:9] for text in page.evaluate(said)[:2]] == ["segment 2"] * 2
            thumb = page.locator("#moment [role=slider]")
            assert thumb.get_attribute("aria-valuetext").startswith("segment 2, call 3")
            page.keyboard.press("ArrowLeft")
            page.wait_for_url(lambda url: "moment" not in url)
            wait(page, drawn, [1, 1])
            assert [text[:9] for text in page.evaluate(said)[:2]] == ["segment 1"] * 2
            assert thumb.get_attribute("aria-labelledby") == "moment-label"
            page.goto(f"http://127.0.0.1:{server.port}/?tab=boards&moment=1")
            page.wait_for_selector("#plots .main-svg")
            assert page.evaluate(said)[0].startswith("segment 2")
            browser.close()
    finally:
        server.shutdown()
    assert not errors
