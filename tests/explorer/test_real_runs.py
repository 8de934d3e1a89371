"""Every tab in Chromium, on runs that sweeps and a study have made. Skips where there is no browser."""

import importlib.util
import re
import runpy
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from rrm.commands.sweep import run_command
from rrm.explorer.app import make_app
from rrm.explorer.export import export
from rrm.explorer.server import serve
from rrm.explorer.source import Source
from rrm.explorer.tabs import TABS
from rrm.explorer.view import View
from rrm.jobs.spec import Preset
from rrm.tracking import default_uri
from rrm.tracking.sqlite_reader import SqliteReader

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright, of the test extra, is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on the path: apt-get install chromium")

ROOT = Path(__file__).resolve().parents[2]
TINY = Preset(
    trials=2, seeds=1, steps=8, evaluations=2, task="sudoku-4x4", givens=(7, 9), train=64, validation=8, test=70
)  # fmt: skip
GROKKING = "--p 7 --steps 30 --evaluations 2 --seeds 1 --every 10 --model token_mlp --weight-decay 0 1 --probes all"
# Tabs that these runs fill.
FILLED = {"training", "curvature", "optimizer", "weights", "action", "exponents", "settling", "boards",
          "numbers"}  # fmt: skip
ENDED = "() => document.querySelector('#plots .main-svg, #plots .empty, #plots table') !== null"


@pytest.fixture(scope="module")
def source(cluster, tmp_path_factory):
    """A sweep of perturbations, one of modular arithmetic with probes, and the boards of a trial."""
    storage = tmp_path_factory.mktemp("real") / "runs"
    spec = runpy.run_path(str(ROOT / "tune_specs" / "perturb_sweep.py"))["SPEC"]
    spec = replace(spec, models=("trm_mlp",), presets={"default": TINY}, learns=0.0)
    run_command(spec, "", ["--storage", str(storage)])
    file = importlib.util.spec_from_file_location("grokking_sweep", ROOT / "tune_specs" / "grokking_sweep.py")
    module = importlib.util.module_from_spec(file)
    file.loader.exec_module(module)
    run_command(module.SPEC, "", [*GROKKING.split(), "--storage", str(storage)])
    runs = SqliteReader(storage / "mlflow.db", storage).every_run()
    trial = next(run for run in runs if run.group == "perturb_sweep" and run.role == "trial")
    boards = runpy.run_path(str(ROOT / "analysis" / "boards.py"))["main"]
    boards(["--run", trial.id, "--storage", str(storage), "--puzzles", "2", "--K", "2"])
    return Source(default_uri(storage), storage)


@pytest.fixture(scope="module")
def browser():
    """Chromium that finds no other host than this one."""
    with sync_api.sync_playwright() as playwright:
        blocked = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", blocked])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, source):
    """A function that opens a view; at the end no request may have left this machine, and nothing may have failed."""
    server = serve(make_app(source), 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    pages, asked, said = [], [], []

    def opened(view, **options):
        page = browser.new_page(**options)
        pages.append(page)
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(f"http://127.0.0.1:{server.port}/{view.address}")
        wait(page, ENDED)
        return page

    yield opened
    for page in pages:
        page.close()
    server.shutdown()
    hosts = {urlsplit(url).hostname for url in asked if not url.startswith(("data:", "blob:"))}
    assert hosts == {"127.0.0.1"} and not said


def wait(page, state):
    """Until an expression of the page is true; playwright's own way is one that the page forbids."""
    for _ in range(600):
        if page.evaluate(state):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"the page did not come to {state}")


def test_every_tab_has_figures_or_names_the_command_that_makes_them(visit):
    page = visit(View())
    page.wait_for_selector("button.bare")
    for name, tab in TABS.items():
        page.get_by_role("button", name=re.compile(rf"^{tab.title}( \(no data\))?$")).click()
        wait(page, f"document.querySelector('button[aria-current=page]').innerText.startsWith('{tab.title}')")
        bare = page.locator("button.bare[aria-current=page]").count() > 0
        # The plots may still be those of the tab before.
        figure = f"document.querySelector('[data-key^=\"{name} \"]') !== null"
        command = "document.querySelector('#plots .empty code') !== null && document.querySelector('.plot') === null"
        wait(page, command if bare else figure)
        assert not bare or name not in FILLED, name
        assert not bare or page.locator(".empty code").inner_text().startswith("python ")


def test_a_selection_of_a_link_is_restored_and_boards_are_stepped_by_keys(visit):
    page = visit(View("boards", find="trm_mlp", moment=1))
    assert page.locator(".plot").count() >= 2
    said = "document.querySelector('.js-plotly-plot').layout.title.subtitle.text"
    before = page.evaluate(said)
    page.keyboard.press("ArrowRight")
    wait(page, f"{said} !== {before!r}")
    wait(page, "location.search.includes('moment=2')")
    page.get_by_role("button", name="Training", exact=True).click()
    wait(page, "document.querySelector('[data-key=\"training loss (nats)\"] .js-line') !== null")
    page.get_by_role("button", name="draw trial-000").first.click()
    wait(page, "document.querySelectorAll('.legend li').length === 1")
    page.reload()
    wait(page, "document.querySelectorAll('.legend li').length === 1")
    assert page.get_by_label("Find runs").input_value() == "trm_mlp"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("tab", ["training", "settling", "boards"])
def test_no_serious_barrier_for_those_who_use_aids(visit, scheme, tab):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe, of the test extra, is missing")
    found = axe.Axe().run(visit(View(tab), color_scheme=scheme)).response["violations"]
    serious = [one for one in found if one["impact"] in ("serious", "critical")]
    assert not [(one["id"], [node["html"][:200] for node in one["nodes"][:3]]) for one in serious]


def test_exported_figures_of_all_tabs_open_from_the_disk(browser, source, tmp_path):
    titles = export(source, View(), tmp_path / "figures.html")
    assert {TABS[name].title for name in FILLED} <= set(titles)
    page, asked, said = browser.new_page(), [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto((tmp_path / "figures.html").as_uri())
    wait(page, "[...document.querySelectorAll('.plot')].every((one) => one.querySelector('.main-svg'))")
    assert {urlsplit(url).scheme for url in asked} <= {"file", "data", "blob"} and not said
    page.close()
