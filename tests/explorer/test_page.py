"""The page in Chromium, on a store that a tracker has written. Skips where there is no browser."""

import math
import shutil
import threading
import urllib.error
import urllib.request
from urllib.parse import urlsplit

import numpy as np
import pytest
from matplotlib.image import imread

from rrm.curves import CurveFile, curve_path
from rrm.explorer.app import make_app
from rrm.explorer.export import export
from rrm.explorer.server import serve
from rrm.explorer.source import Source
from rrm.explorer.view import View
from rrm.tracking import Tracker, default_uri
from rrm.tracking.embedded import create_store
from tests.explorer.test_view import FULL

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright, of the test extra, is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on the path: apt-get install chromium")

HOSTILE = 'trial-<img src=x onerror="window.hurt=1">'
TRACE = """(title) => {
    const plot = document.querySelector(`[data-key="${title}"] .js-plotly-plot`);
    const lines = plot ? plot._fullData.filter((one) => one.meta === "line") : [];
    return lines.map((one) => [one.name, one.x.length]);
}"""
RANGES = (
    """() => [...document.querySelectorAll(".js-plotly-plot")].map((one) => one.layout.xaxis.range.map(Math.round))"""
)


@pytest.fixture(scope="module")
def tracker(tmp_path_factory):
    """A sweep of two arms of two seeds with probes, of which the last still runs and has a hostile name."""
    storage = tmp_path_factory.mktemp("explorer") / "runs"
    create_store(storage / "mlflow.db", storage / "artifacts")
    with Tracker(default_uri(storage), "experiment", "job", storage / "artifacts", kind="sweep") as tracker:
        tracker.run("sweep", "job")
        for number in range(4):
            arm, seed = ("baseline", "noise")[number // 2], number % 2
            name = f"trial-{number:03d}" if number < 3 else HOSTILE
            run = tracker.run("trial", name, {"sigma": 0.1 * (number // 2), "seed": seed})
            tracker.tags(run, {"rrm.model": "trm_mlp", "rrm.arm": arm, "rrm.seed": seed})
            for step in range(0, 40, 10):
                row = {"train/loss": 1 / (1 + step) if step != 20 else math.nan, "train/accuracy": step / 40}
                tracker.metrics(run, row | {"test/accuracy": step / 80, "call_units": 2.0 * step}, step)
            if number < 3:
                file = CurveFile(curve_path(storage / "job", name))
                for step in range(3000):
                    file.append(step, {"probe/gradient/norm": 1 + math.sin(step)})
                file.close()
                tracker.finish(run, "FINISHED")
        tracker.live, tracker.storage = run, storage
        yield tracker


@pytest.fixture(scope="module")
def address(tracker):
    server = serve(make_app(Source(default_uri(tracker.storage), tracker.storage)), 0)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.port}/"
    server.shutdown()
    thread.join()


@pytest.fixture(scope="module")
def browser():
    """Chromium that finds no other host than this one."""
    with sync_api.sync_playwright() as playwright:
        blocked = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", blocked])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, address):
    """A function that opens a view and waits for its plots; at the end no request may have left this machine."""
    pages, asked, said = [], [], []

    def opened(view=None, **options):
        page = browser.new_page(**options)
        pages.append(page)
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(address + (view or View()).address)
        page.wait_for_selector("#plots .main-svg, #plots .empty")
        return page

    yield opened
    for page in pages:
        page.close()
    hosts = {urlsplit(url).hostname for url in asked if not url.startswith(("data:", "blob:"))}
    assert hosts == {"127.0.0.1"} and not said


def wait(page, state):
    """Until an expression of the page is true; playwright's own way is one that the page forbids."""
    for _ in range(300):
        if page.evaluate(state):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"the page did not come to {state}")


def query(page):
    return View.from_address("?" + urlsplit(page.url).query)


def test_the_page_draws_groups_of_runs_and_names_are_text(visit):
    page = visit()
    assert page.locator("#count").inner_text() == "5 of 5 runs fit" and page.locator("#news").inner_text()[0] == "2"
    assert page.locator(".legend li").all_inner_texts() == ["baseline (2 runs)", "noise (2 runs)"]
    assert dict(page.evaluate(TRACE, "training accuracy")) == {
        "baseline: test": 4, "baseline: train": 4, "noise: test": 4, "noise: train": 4
    }  # fmt: skip
    assert HOSTILE in page.locator("tbody").inner_text() and not page.evaluate("window.hurt")
    alone = visit(View(group=()))
    assert HOSTILE in alone.locator("ul.legend").inner_text() and not alone.evaluate("window.hurt")
    assert len(alone.locator(".legend li").all()) == 4 and alone.locator(".gtitle").count() > 0


def test_many_lines_are_few_traces_whose_points_name_their_run(visit):
    page = visit(View(group=("sigma",), lines=True))
    page.evaluate("""() => {
        const plot = document.querySelector('[data-key="training accuracy"] .js-plotly-plot');
        const here = (name) => name.includes("img");
        const trace = plot.data.findIndex((one) => one.text && one.text.some(here));
        Plotly.Fx.hover(plot, [{curveNumber: trace, pointNumber: plot.data[trace].text.findIndex(here)}]);
    }""")
    wait(page, "document.querySelectorAll('.hovertext').length === 1")
    assert HOSTILE[:10] in page.locator(".hovertext").text_content() and not page.evaluate("window.hurt")


def test_choosing_hiding_finding_and_sorting_runs(visit):
    page = visit()
    page.get_by_role("button", name="draw trial-001").click()
    wait(page, "document.querySelectorAll('.legend li').length === 1")
    assert "1 chosen" in page.locator("#count").inner_text() and len(query(page).runs) == 1
    page.get_by_role("button", name="draw all that fit").click()
    wait(page, "document.querySelectorAll('.legend li').length === 2")
    page.get_by_role("button", name="hide trial-002").click()
    wait(page, "document.querySelector('ul.legend').innerText.includes('1 of 2 runs')")
    assert page.locator(".legend li").all_inner_texts()[0] == "baseline (2 runs)"
    page.get_by_label("Find runs").fill("sigma=0.1 trial")
    wait(page, "document.querySelector('#count').innerText.startsWith('2 of 5')")
    page.get_by_label("Find runs").fill("")
    page.get_by_role("button", name="run", exact=True).click()
    page.wait_for_selector("th[aria-sort=ascending]")
    page.get_by_role("button", name="run ▲").click()
    page.wait_for_selector("th[aria-sort=descending]")
    assert (
        page.locator("tbody tr").first.inner_text().split()[2].startswith("trial-<img") and query(page).sort == "-name"
    )


def test_groups_by_another_setting(visit):
    page = visit()
    page.locator("#group").click()
    page.get_by_role("option", name="seed").click()
    wait(page, "document.querySelectorAll('.legend li').length === 4")
    assert query(page).group == ("job", "model", "arm", "seed")


def test_a_range_holds_for_all_plots_and_going_back_undoes_it(visit):
    page = visit()
    page.get_by_label("From", exact=True).fill("10")
    wait(page, "document.querySelectorAll('.js-plotly-plot')[1].layout.xaxis.range[0] === 10")
    ranges = page.evaluate(RANGES)
    assert len(ranges) > 1 and {begin for begin, _ in ranges} == {10} and query(page).begin == 10
    area = page.locator(".js-plotly-plot").first.locator(".nsewdrag")
    area.scroll_into_view_if_needed()
    plot = area.bounding_box()
    middle = plot["y"] + plot["height"] / 2
    page.mouse.move(plot["x"] + plot["width"] * 0.25, middle)
    page.mouse.down()
    page.mouse.move(plot["x"] + plot["width"] * 0.75, middle, steps=5)
    page.mouse.up()
    wait(page, "document.querySelectorAll('.js-plotly-plot')[1].layout.xaxis.range[0] > 10")
    view = query(page)
    assert 10 < view.begin < view.end < 30
    assert {tuple(one) for one in page.evaluate(RANGES)} == {(round(view.begin), round(view.end))}
    page.go_back()
    wait(page, "document.querySelectorAll('.js-plotly-plot')[1].layout.xaxis.range[0] === 10")
    page.go_back()
    wait(page, "document.querySelectorAll('.js-plotly-plot')[1].layout.xaxis.range[0] < 10")
    assert query(page) == View() and page.get_by_label("From", exact=True).input_value() == ""


def test_range_and_scales_change_without_the_server(visit):
    page, asked = visit(View("curvature")), []
    page.wait_for_timeout(500)
    page.on("request", lambda request: asked.append(request.post_data) if request.method == "POST" else None)
    layout = "document.querySelector('.js-plotly-plot').layout"
    page.locator("#range [role=slider]").first.focus()
    page.keyboard.press("PageUp")
    wait(page, f"{layout}.xaxis.range[0] > 0")
    wait(page, "location.search.includes('begin')")
    page.evaluate("dash_clientside.set_props('scale_x', {value: 'log'})")
    wait(page, f"{layout}.xaxis.type === 'log' && {layout}.xaxis.range[0] > 0")
    page.wait_for_timeout(500)
    assert not [one for one in asked if "plots.children" in one]


def test_a_link_restores_the_view(visit):
    view = View("training", "trial", ("job",), group=("seed",), x="calls", scale_x="log", scale_y="linear", smooth=3,
                lines=True, begin=20.0, end=50.0)  # fmt: skip
    page = visit(view)
    wait(page, "document.querySelectorAll('.legend li').length === 2")
    page.wait_for_timeout(500)  # for what a control might change
    assert query(page) == view and page.get_by_label("Find runs").input_value() == "trial"
    layout = page.evaluate("document.querySelector('.js-plotly-plot').layout")
    assert layout["xaxis"]["title"]["text"] == "network calls" and layout["xaxis"]["type"] == "log"
    np.testing.assert_allclose(layout["xaxis"]["range"], np.log10([20, 50]))
    assert "mean of 3 points" in page.locator(".plot").first.inner_text()
    assert page.locator("#group").inner_text().startswith("seed")
    assert page.get_by_role("button", name="lines of single runs", pressed=True).count() == 1


@pytest.mark.parametrize("view", [View(), FULL, View(group=()), View(begin=0.1, end=1 / 3)])
def test_browser_and_python_agree_on_addresses(visit, view):
    page = visit()
    fields = {name: value for name, value in View().state.items() if name != "dark"}
    decoded = page.evaluate("([text, fields]) => dash_clientside.rrm.decode(text, fields)", [view.address, fields])
    assert View.of(decoded) == view
    encoded = page.evaluate("([state, fields]) => dash_clientside.rrm.encode(state, fields)", [view.state, fields])
    assert View.from_address(encoded) == view


def test_tabs_are_reached_by_keys_and_say_which_command_makes_their_data(visit):
    page = visit()
    page.get_by_role("button", name="Training", exact=True).focus()
    page.keyboard.press("Tab")  # to the tab of grokking
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector('[data-key="curvature gradient norm"]')
    assert query(page).tab == "curvature"
    page.wait_for_selector("button[aria-current=page]:text('Curvature')")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector(".empty code")
    assert page.locator(".empty code").inner_text().startswith("python tune_specs/grokking_sweep.py")
    wait(visit(View("arms")), "document.querySelector('#group').innerText.includes('model')")


def test_tabs_without_data_say_so_and_the_ground_is_followed(visit):
    page = visit(color_scheme="light")
    page.wait_for_selector("button.bare")
    bare = page.locator("button.bare").all_inner_texts()
    assert "Boards (no data)" in bare and not {"Training (no data)", "Curvature (no data)"} & set(bare)
    colour = "() => document.querySelector('.js-plotly-plot').data[0].line.color"
    light = page.evaluate(colour)
    page.emulate_media(color_scheme="dark")
    wait(page, f"({colour})() !== '{light}'")
    page.get_by_role("button", name="Boards (no data)").click()
    page.wait_for_selector(".empty code")
    wait(page, "document.querySelectorAll('button.bare[aria-current=page]').length === 1")


def test_long_series_are_decimated_and_say_so(visit):
    page = visit(View("curvature", group=()))
    (trace,) = {length for _, length in page.evaluate(TRACE, "curvature gradient norm")}
    assert trace == 1000 and "3,000 of 9,000 points, extremes kept" in page.locator(".plot").first.inner_text()
    page.get_by_label("To", exact=True).fill("100")
    wait(page, f"({TRACE})('curvature gradient norm').every(([name, n]) => n < 200)")


def test_a_plot_is_saved_as_a_picture_and_as_a_table(visit):
    page = visit()
    with page.expect_download() as table:
        page.get_by_role("button", name="save accuracy as CSV").click()
    rows = table.value.path().read_text().splitlines()
    assert rows[0] == "line,x,y,low,high,runs" and rows[1] == "baseline: test,0.0,0.0,0.0,0.0,2" and len(rows) == 17
    with page.expect_download() as picture:
        page.get_by_role("button", name="save accuracy as PNG").click()
    pixels = imread(picture.value.path())
    assert pixels.shape[1] == 2 * 900 and pixels.shape[0] >= 2 * 500
    # Lines and words in several colours on light ground.
    colours, counts = np.unique(pixels[..., :3].reshape(-1, 3).round(2), axis=0, return_counts=True)
    assert len(colours) > 50 and 0.5 < counts.max() / counts.sum() < 0.99


def test_a_run_that_runs_grows_without_a_reload(visit, tracker):
    page = visit()
    before = dict(page.evaluate(TRACE, "training accuracy"))["noise: test"]
    step = int(10 * before)
    tracker.metrics(tracker.live, {"test/accuracy": 0.9}, step)
    wait(page, f"({TRACE})('training accuracy').some(([name, n]) => name === 'noise: test' && n > {before})")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_barrier_for_those_who_use_aids(visit, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe, of the test extra, is missing")
    page = visit(color_scheme=scheme)
    found = axe.Axe().run(page).response["violations"]
    serious = [one for one in found if one["impact"] in ("serious", "critical")]
    assert not [(one["id"], [node["html"][:200] for node in one["nodes"][:3]]) for one in serious]


@pytest.mark.parametrize(
    ("method", "path", "headers", "code"),
    [
        ("GET", "", {}, 200),
        ("GET", "", {"Host": "evil.example"}, 403),
        ("GET", "", {"Origin": "https://evil.example"}, 403),
        ("POST", "", {}, 405),
        ("PUT", "_dash-update-component", {}, 405),
        ("DELETE", "_dash-layout", {}, 405),
        ("GET", "assets/../app.py", {}, 404),
    ],
)
def test_the_server_answers_its_own_pages_alone(address, method, path, headers, code):
    request = urllib.request.Request(
        address + path, method=method, headers=headers, data=b"" if method != "GET" else None
    )
    try:
        with urllib.request.urlopen(request) as response:
            assert response.status == code and "default-src 'self'" in response.headers["Content-Security-Policy"]
    except urllib.error.HTTPError as error:
        assert error.code == code


def test_exported_figures_open_from_the_disk(browser, tracker, tmp_path):
    assert export(Source(default_uri(tracker.storage), tracker.storage), View(), tmp_path / "figures.html") == [
        "Training", "Grokking", "Curvature", "Arms", "Numbers"
    ]  # fmt: skip
    page, asked, said = browser.new_page(), [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.goto((tmp_path / "figures.html").as_uri())
    page.wait_for_selector(".plot .main-svg")
    assert page.locator(".plot").count() > 1 and HOSTILE not in page.content() and not page.evaluate("window.hurt")
    assert {urlsplit(url).scheme for url in asked} == {"file"} and not said
    page.close()
