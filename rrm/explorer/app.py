"""The page as a Dash application: the callbacks between its parts."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from dash import ALL, ClientsideFunction, Dash, Input, Output, State, ctx, dcc, html, no_update
from dash.exceptions import PreventUpdate
from plotly.graph_objects import Figure

from rrm.errors import InputError
from rrm.explorer import page
from rrm.explorer.marks import Marks
from rrm.explorer.runs import settings, shown, varied
from rrm.explorer.source import Source
from rrm.explorer.table import csv_text
from rrm.explorer.tabs import TABS
from rrm.explorer.view import View

_PLOTLY = "_dash-component-suites/plotly/package_data/plotly.min.js"
_ALWAYS = ("job", "model", "arm", "kind", "status", "role")


def make_app(source: Source) -> Dash:
    """The application over a store; nothing is read before a page asks."""
    app = Dash(__name__, title="rrm explorer", update_title="", serve_locally=True, compress=False, enable_mcp=False,
               suppress_callback_exceptions=True, assets_folder="assets", add_log_handler=False)  # fmt: skip
    # Dash loads plotly when the first plot comes; here the browser reads plotly while the server reads the runs.
    plotly = f'<script async src="{app.get_asset_url("").removesuffix("assets/")}{_PLOTLY}"></script>'
    app.index_string = app.index_string.replace("<html>", '<html lang="en">').replace("</head>", f"{plotly}</head>")
    marks = Marks(source)
    app.layout = lambda: page.layout(source.name, source.version())
    _connect_the_browser(app)

    @app.callback(
        Output("table", "children"), Output("count", "children"), Output("jobs", "options"),
        Output("group", "options"), Output("news", "children"), Output("tabs", "children"),
        Input("listed", "data"), Input("version", "data"), State("empty", "data"),
    )  # fmt: skip
    def show_runs(state: dict | None, version: str | None, empty: list[str] | None) -> Sequence[Any]:
        view = _view(state)
        try:
            runs = source.runs()
        except InputError as error:
            return html.P(str(error), className="trouble"), "Runs", [], [], "", no_update
        fitting = shown(runs, view)
        jobs = list(dict.fromkeys([*(run.group for run in runs), *view.jobs]))
        known = [name for name in _ALWAYS if any(name in settings(run) for run in fitting)]
        groups = list(dict.fromkeys([*known, *varied(fitting), "seed", *view.group]))
        running = sum(run.status == "RUNNING" for run in runs)
        news = f"{running} running, looked at every {page.POLL_MS // 1000} s" if running else ""
        count = page.count_words(runs, fitting, view)
        return page.run_table(fitting, view), count, jobs, groups, news, page.tab_strip(view, empty or [])

    @app.callback(
        Output("plots", "children"), Output("layers", "options"), Output("drawn", "data"),
        Output("picks", "options"), Output("picks", "placeholder"), Output("picks-label", "children"),
        Output("picks-box", "hidden"), Output("threshold-box", "hidden"),
        Input("asked", "data"), Input("version", "data"),
    )  # fmt: skip
    def show_plots(state: dict | None, version: str | None) -> Sequence[Any]:
        view = _view(state)
        tab = TABS[view.tab]
        try:
            with source.lock:
                selection = source.select(view)
                figures = tab.figures(selection, view)
                layers = list(dict.fromkeys([*tab.layers(selection), *view.layers]))
                own = page.own_controls(tab, selection, view)
        except InputError as error:
            return html.P(str(error), className="trouble"), [], None, [], "", "", True, True
        metas = [figure.layout.meta for figure in figures]
        told = {
            "thinned": any(meta["thinned"] for meta in metas),
            "moments": max((meta.get("moments", 0) for meta in metas), default=0),
            "extent": extent(figures),
            "begin": view.begin,
            "end": view.end,
        }
        trial = next((run.id for run in selection.runs if run.role == "trial"), "RUN_ID")
        if not figures:
            return page.no_data(view.tab, len(selection.runs), trial), layers, told, *own
        parts = [page.legend(selection, figures, view), page.plots(figures, view.tab), page.more_data(view.tab, trial)]
        return html.Div(parts), layers, told, *own

    @app.callback(
        Output("tabs", "children", allow_duplicate=True), Output("empty", "data"),
        Input("drawn", "data"), State("view", "data"), State("empty", "data"), prevent_initial_call=True,
    )  # fmt: skip
    def mark_tabs(drawn: dict | None, state: dict | None, known: list[str] | None) -> Sequence[Any]:
        view = _view(state)
        with suppress(InputError):  # which the plots say
            if (empty := marks.empty(view)) != known:
                return page.tab_strip(view, empty), empty
        raise PreventUpdate

    @app.callback(
        Output("version", "data"), Input("tick", "n_intervals"), State("version", "data"),
        running=[(Output("tick", "disabled"), True, False)],
    )  # fmt: skip
    def look_again(count: int | None, known: str | None) -> Any:
        return no_update if known == (version := source.version()) else version

    @app.callback(
        Output("file", "data"), Input({"type": "csv", "index": ALL}, "n_clicks"), State("view", "data"),
        prevent_initial_call=True,
    )  # fmt: skip
    def save_table(clicks: Sequence[int | None], state: dict | None) -> Any:
        if not ctx.triggered_id or not ctx.triggered[0]["value"]:
            raise PreventUpdate
        view, wanted = _view(state), ctx.triggered_id["index"]
        with source.lock:
            selection = source.select(view)
            selection.whole = True
            figures = TABS[view.tab].figures(selection, view)
        figure = next(figure for figure in figures if f"{view.tab} {figure.layout.title.text}" == wanted)
        name = "".join(sign if sign.isalnum() else "_" for sign in wanted)
        return dcc.send_string(csv_text(figure), f"{name}.csv")

    return app


def read_ahead(source: Source, view: View) -> None:
    """Read the series of a view while the browser still loads the page; what cannot be read the page will say."""
    with suppress(InputError), source.lock:
        TABS[view.tab].figures(source.select(view), view)


def _view(state: dict | None) -> View:
    if state is None:  # before the address was read
        raise PreventUpdate
    view = View.of(state)
    return view if view.tab in TABS else view.but(tab=View().tab)


def _connect_the_browser(app: Dash) -> None:
    """What happens without a way to the server."""
    buttons = [Input({"type": kind, "index": ALL}, "n_clicks") for kind in ("tab", "switch", "choose", "hide", "page")]
    app.clientside_callback(
        ClientsideFunction("rrm", "sync"),
        Output("address", "search"), *(Output(name, "value") for name in page.CONTROLS), Output("range", "value"),
        Output("view", "data"),
        Input("address", "search"), *(Input(name, "value") for name in page.CONTROLS), Input("range", "value"),
        *buttons, Input({"type": "sort", "index": ALL, "to": ALL}, "n_clicks"),
        Input({"type": "plot", "index": ALL}, "relayoutData"),
        *(State(name, "options") for name in page.LISTS),
        State("view", "data"), State("fields", "data"), State("drawn", "data"),
    )  # fmt: skip
    app.clientside_callback(
        ClientsideFunction("rrm", "ask"), Output("listed", "data"), Output("asked", "data"), Input("view", "data"),
        State("drawn", "data"), State("listed", "data"), State("asked", "data"), State("fields", "data"),
    )  # fmt: skip
    app.clientside_callback(
        ClientsideFunction("rrm", "fill"), *(Input(name, "options") for name in page.LISTS),
        State("view", "data"), State("fields", "data"),
    )  # fmt: skip
    app.clientside_callback(
        ClientsideFunction("rrm", "range"), Output("ranged", "data"), Input("view", "data"), Input("drawn", "data")
    )
    app.clientside_callback(
        ClientsideFunction("rrm", "drag"), Output("held", "data"), Input("range", "drag_value"),
        State("view", "data"), State("drawn", "data"), State("fields", "data"), prevent_initial_call=True,
    )  # fmt: skip
    app.clientside_callback(
        ClientsideFunction("rrm", "stepper"), Output("stepper", "hidden"), Output("moment", "max"),
        Input("drawn", "data"),
    )  # fmt: skip
    app.clientside_callback(
        ClientsideFunction("rrm", "show"), Output("shown", "data"), Input("moment", "drag_value"),
        prevent_initial_call=True,
    )  # fmt: skip
    app.clientside_callback(
        ClientsideFunction("rrm", "picture"), Output("pictured", "data"),
        Input({"type": "png", "index": ALL}, "n_clicks"), prevent_initial_call=True,
    )  # fmt: skip


def extent(figures: Sequence[Figure]) -> list[float] | None:
    """First and last place of the axis that a series reaches, in the range of the view or not; None without any."""
    ends = [figure.layout.meta["extent"] for figure in figures if figure.layout.meta["ranged"]]
    return [min(low for low, _ in ends), max(high for _, high in ends)] if ends else None
