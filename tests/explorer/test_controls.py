"""The controls that single tabs have, in Chromium: the threshold, and the list of what there is to choose from."""

import shutil
import threading

import pytest

from rrm.explorer.app import make_app
from rrm.explorer.server import serve
from rrm.explorer.view import View
from tests.explorer.test_boards import Source, wait
from tests.explorer.test_fourier import reader  # noqa: F401

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SHOWN = """() => [...document.querySelectorAll(".plot")].map((one) => one.dataset.key)"""
KEYS = """() => [...document.querySelectorAll(".js-plotly-plot")][1]._fullData[0].x.length"""


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on the path: apt-get install chromium")
def test_the_threshold_and_the_list_of_a_tab_are_in_the_link(reader):  # noqa: F811
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright, of the test extra, is not installed")
    server = serve(make_app(Source(reader)), 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.port}/"
    errors = []
    try:
        with sync_api.sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            page = browser.new_page()
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
            page.goto(address + View("fourier", threshold=0.49).address)
            page.wait_for_selector("#threshold-box:not([hidden]) [role=slider]")
            wait(page, KEYS, 1)
            slider = page.locator("#threshold [role=slider]")
            assert slider.get_attribute("aria-labelledby") == "threshold-label"
            slider.press("Home")
            page.wait_for_url("**threshold=0.05**")
            wait(page, KEYS, 2)
            page.locator("#picks").click()
            page.get_by_role("option", name="net: step 0, initial").click()
            page.wait_for_url("**picks=net**initial**")
            wait(page, f"() => ({SHOWN})()[0].endsWith('step 0, initial')", True)
            page.keyboard.press("Escape")
            # Another tab has a list of its own, and the threshold is none of its business.
            page.get_by_role("button", name="Numbers").click()
            page.wait_for_url(lambda url: "picks" not in url and "tab=numbers" in url)
            page.wait_for_selector("#threshold-box[hidden]", state="attached")
            page.goto(address + View("numbers", picks=("routing/layer_0_mlp/head_1",)).address)
            wait(page, SHOWN, ["numbers routing/layer_0_mlp/head_1"])
            assert page.locator("#picks").inner_text().startswith("routing/layer_0_mlp/head_1")
            browser.close()
    finally:
        server.shutdown()
    assert not errors
