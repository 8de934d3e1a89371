"""The parts of the page: controls, table of runs, legend, plots. Each is a function of data, without state."""

from collections.abc import Sequence
from html import unescape
from typing import Any

from dash import dcc, html
from dash.development.base_component import Component
from plotly.graph_objects import Figure

from rrm.explorer import runs as table
from rrm.explorer.joined import joined
from rrm.explorer.palette import colours_of
from rrm.explorer.runs import Column
from rrm.explorer.selection import Selection
from rrm.explorer.series import AXES
from rrm.explorer.tabs import TABS
from rrm.explorer.tabs.tab import Tab
from rrm.explorer.view import View
from rrm.tracking.reader import Run

ROWS = 15  # of the table on one page
THRESHOLDS = 0.05, 0.5  # of key frequencies, that the slider reaches
SLIDER = 1000  # places of the slider over the whole axis
POLL_MS = 3000
# Fields of a view that have a control of their own; buttons and the address change the others.
CONTROLS = (
    "find", "jobs", "group", "x", "scale_x", "scale_y", "begin", "end", "smooth", "layers", "picks", "threshold",
    "moment",
)  # fmt: skip
# Those that are lists, whose options come from the runs.
LISTS = ("jobs", "group", "layers", "picks")
# Fields that only plots follow, only the table, and plots without a way to the server. The ground is of both.
_OF_PLOTS = ("x", "scale_x", "scale_y", "begin", "end", "smooth", "layers", "picks", "threshold", "moment")
_OF_TABLE = ("sort", "page")
_OF_BROWSER = ("scale_x", "scale_y", "begin", "end", "moment")
_WIDTHS = (1, 3, 5, 11, 21, 51)
_CONFIG: Any = {"displaylogo": False, "responsive": True, "modeBarButtons": [["zoom2d", "pan2d", "resetScale2d"]]}


def layout(store: str, version: str) -> html.Div:
    """The whole page, before any run has been read; `version` is that of the store."""
    defaults = {name: value for name, value in View().state.items() if name != "dark"}
    fields = {"defaults": defaults, "controls": CONTROLS, "lists": LISTS, "slider": SLIDER, "of_table": _OF_TABLE,
              "of_plots": _OF_PLOTS, "of_browser": _OF_BROWSER}  # fmt: skip
    return html.Div(
        [
            dcc.Location(id="address", refresh=False),
            dcc.Store(id="fields", data=fields),
            dcc.Store(id="version", data=version),
            *(dcc.Store(id=name) for name in ("view", "listed", "asked", "drawn", "empty", "ranged", "held")),
            dcc.Store(id="shown"),
            dcc.Store(id="pictured"),
            dcc.Interval(id="tick", interval=POLL_MS),
            dcc.Download(id="file"),
            html.Header(
                [
                    html.H1("rrm explorer"),
                    html.P(store, className="store"),
                    html.P(id="news", role="status", className="news"),
                ]
            ),  # fmt: skip
            html.Main(
                [
                    _runs_part(),
                    _controls(),
                    html.Nav(tab_strip(View()), id="tabs", className="tabs", **_aria(label="tabs")),
                    _of_the_tab(),
                    _stepper(),
                    html.Div(id="plots"),
                ]
            ),
        ]
    )


def _aria(**words: str) -> dict[str, Any]:
    """What a screen reader is told about a part."""
    return {f"aria-{name}": word for name, word in words.items()}


def _labelled(title: str, control: Component, name: str, wide: bool = False) -> html.Div:
    return html.Div([html.Label(title, htmlFor=name, id=f"{name}-label"), control], className="wide" if wide else "")


def _choice(
    name: str, options: list[str] | dict[str, str], value: str | list[str], multi: bool = False, placeholder: str = ""
) -> dcc.Dropdown:
    return dcc.Dropdown(
        id=name, options=options, value=value, multi=multi, clearable=multi, searchable=multi, placeholder=placeholder
    )


def _runs_part() -> html.Section:
    view = View()
    find = dcc.Input(
        id="find", type="search", value=view.find, debounce=0.3, placeholder="words, sigma=0.1, test/accuracy>0.5"
    )
    return html.Section(
        [
            html.Div(
                [
                    _labelled("Find runs", find, "find", wide=True),
                    _labelled("Jobs", _choice("jobs", [], [], True, "all jobs"), "jobs", wide=True),
                ],
                className="controls",
            ),
            html.Details(
                [html.Summary(html.H2("Runs", id="count")), html.Div(id="table", className="table")],
                open=True,
            ),
        ],
        **_aria(label="runs"),
    )


def _controls() -> html.Section:
    view = View()
    scales = {"linear": "linear", "log": "logarithmic"}
    smoothing = {str(width): "none" if width == 1 else f"mean of {width} points" for width in _WIDTHS}
    number: dict[str, Any] = {"type": "number", "debounce": 0.3, "placeholder": "open", "step": "any"}
    parts = [
        _labelled("Group by", _choice("group", [], [], True, "each run alone"), "group", wide=True),
        _labelled("Layers", _choice("layers", [], [], True, "all layers"), "layers"),
        _labelled("Axis", _choice("x", {name: axis.title for name, axis in AXES.items()}, view.x), "x"),
        _labelled("Scale across", _choice("scale_x", scales, view.scale_x), "scale_x"),
        _labelled("Scale upwards", _choice("scale_y", {"panel": "as the panel"} | scales, view.scale_y), "scale_y"),
        _labelled("Smoothing", _choice("smooth", smoothing, str(view.smooth)), "smooth"),
        _labelled("From", dcc.Input(id="begin", **number), "begin"),
        _labelled("To", dcc.Input(id="end", **number), "end"),
        html.Div(
            [
                html.Span("Range", id="range-label", className="label"),
                dcc.RangeSlider(
                    0,
                    SLIDER,
                    1,
                    marks=None,
                    value=[0, SLIDER],
                    id="range",
                    allow_direct_input=False,
                    updatemode="mouseup",
                ),  # fmt: skip
            ],
            className="wide",
        ),
    ]
    return html.Section(parts, className="controls", **_aria(label="what is drawn"))


def _of_the_tab() -> html.Section:
    """The controls that some tabs alone have."""
    low, high = THRESHOLDS
    slider = dcc.Slider(low, high, 0.01, marks=None, value=View().threshold, id="threshold", updatemode="mouseup",
                        allow_direct_input=False, tooltip={"placement": "bottom", "always_visible": True})  # fmt: skip
    said = html.Span("Key frequencies from this share of the largest", id="threshold-label", className="label")
    picks = _labelled("", _choice("picks", [], [], True), "picks")
    return html.Section(
        [
            html.Div(picks.children, id="picks-box", className="wide", hidden=True),
            html.Div([said, slider], id="threshold-box", className="wide", hidden=True),
        ],
        className="controls", **_aria(label="of this tab"),
    )  # fmt: skip


def _stepper() -> html.Div:
    """The control of boards that are shown call by call, which the arrow keys move, too."""
    label = html.Span("Moment (arrow keys)", id="moment-label", className="label")
    slider = dcc.Slider(0, 1, 1, marks=None, value=0, id="moment", allow_direct_input=False, updatemode="mouseup")
    return html.Div([label, slider], id="stepper", className="stepper", hidden=True)


def own_controls(tab: Tab, selection: Selection, view: View) -> tuple[list[str], str, str, bool, bool]:
    """Of the list of a tab: what it offers, what it says while nothing is chosen, its title, and whether it is hidden;
    then whether the threshold is."""
    if tab.picker is None:
        return list(view.picks), "", "", True, not tab.threshold
    offered = list(dict.fromkeys([*tab.picker.options(selection), *view.picks]))
    return offered, tab.picker.otherwise, tab.picker.title, not offered, not (tab.threshold and offered)


def tab_strip(view: View, empty: Sequence[str] = ()) -> list[html.Button]:
    """The buttons of the tabs, of which some are known to be empty, and the switch of the lines."""
    tabs = [
        html.Button(
            f"{tab.title} (no data)" if name in empty else tab.title, id={"type": "tab", "index": name},
            className="bare" if name in empty else "", **_aria(current="page" if name == view.tab else "false"),
        )
        for name, tab in TABS.items()
    ]  # fmt: skip
    lines = html.Button("lines of single runs", id={"type": "switch", "index": "lines"}, className="switch",
                        **_aria(pressed=str(view.lines).lower()))  # fmt: skip
    return [*tabs, lines]


def run_table(runs: Sequence[Run], view: View) -> html.Div:
    """One page of the table; `runs` are all that fit."""
    columns = table.columns(runs)
    found = table.ordered(runs, view.sort)
    pages = max(1, -(-len(found) // ROWS))
    page = min(view.page, pages - 1)
    head = [html.Th("draw", scope="col"), html.Th("hide", scope="col"), *(_heading(column, view) for column in columns)]
    body = [_row(run, columns, view) for run in found[page * ROWS : (page + 1) * ROWS]]
    turn = [
        html.Button(name, id={"type": "page", "index": to}, disabled=not 0 <= to < pages)
        for name, to in (("previous", page - 1), ("next", page + 1))
    ]
    pager = [html.Div([turn[0], html.Span(f"page {page + 1} of {pages}"), turn[1]], className="pager")] * (pages > 1)
    every = html.Button("draw all that fit", id={"type": "choose", "index": ""}, disabled=not view.runs)
    grid = html.Table([html.Thead(html.Tr(head)), html.Tbody(body)])
    # A region that scrolls has to be reached by keys.
    scroll = html.Div(grid, className="scroll", tabIndex=0, role="region", **_aria(label="table of runs"))
    return html.Div([scroll, html.Div([every, *pager], className="below")])


def _heading(column: Column, view: View) -> html.Th:
    up, down = view.sort == column.key, view.sort == f"-{column.key}"
    sign = " ▲" if up else " ▼" if down else ""
    to = f"-{column.key}" if up else "" if down else column.key
    button = html.Button(f"{column.title}{sign}", id={"type": "sort", "index": column.key, "to": to})
    order = "ascending" if up else "descending" if down else "none"
    return html.Th(button, scope="col", **_aria(sort=order))


def _row(run: Run, columns: Sequence[Column], view: View) -> html.Tr:
    key = table.short(run)
    chosen, hidden = key in view.runs, key in view.hidden
    name = table.cell(run, "name")
    marks = [
        html.Td(_mark("choose", key, chosen, f"draw {name}", "●", "○")),
        html.Td(_mark("hide", key, hidden, f"hide {name}", "✕", "–")),
    ]
    cells = []
    for column in columns:
        text = table.cell(run, column.key)
        if column.key == "outcome" and text:
            cells.append(html.Td(html.Span(text, className=f"outcome {text.replace(' ', '-')}")))
        else:
            cells.append(html.Td(text, className="number" if column.number else ""))
    return html.Tr([*marks, *cells], className="hidden" if hidden else "")


def _mark(kind: str, key: str, on: bool, title: str, sign_on: str, sign_off: str) -> html.Button:
    return html.Button(
        sign_on if on else sign_off, id={"type": kind, "index": key}, title=title, className="mark",
        **_aria(pressed=str(on).lower(), label=title),
    )  # fmt: skip


def count_words(runs: Sequence[Run], fitting: Sequence[Run], view: View) -> str:
    """How many runs there are, fit, and are drawn."""
    drawn = f", {len(view.runs)} chosen" if view.runs else ""
    hidden = f", {len(view.hidden)} hidden" if view.hidden else ""
    return f"{len(fitting):,} of {len(runs):,} runs fit{drawn}{hidden}"


def legend(selection: Selection, figures: Sequence[Figure], view: View) -> html.Ul:
    """The groups that the figures draw, with their colours and numbers of runs; hidden ones keep their place."""
    if not any(figure.layout.meta["ranged"] for figure in figures):
        return _legend_of_models(figures)
    colours = colours_of(len(selection.groups), view.dark)
    drawn = {trace.legendgroup for figure in figures for trace in figure.data if trace.type == "scatter"}
    items = []
    for group, colour in zip(selection.groups, colours, strict=True):
        if group.label not in drawn and group.runs:
            continue
        items.append(_entry(f"{group.label} ({group.n})", colour))
    return html.Ul(items, className="legend", tabIndex="0", **_aria(label="groups"))


def _legend_of_models(figures: Sequence[Figure]) -> html.Ul:
    """The models that the lines of figures are of, with their colours."""
    traces = [trace for figure in figures for trace in figure.data if trace.type == "scatter"]
    found = {trace.legendgroup: trace.line.color for trace in traces if trace.legendgroup}
    items = [_entry(unescape(label), colour) for label, colour in found.items()]
    return html.Ul(items, className="legend", tabIndex="0", **_aria(label="models"))


def _entry(text: str, colour: str) -> html.Li:
    # One part alone: Dash looks at every part of the page after every change.
    return html.Li(text, style={"--colour": colour})


def plots(figures: Sequence[Figure], tab: str) -> html.Div:
    """The figures of a tab, each with its buttons."""
    parts = []
    for figure in figures:
        title = figure.layout.title.text
        key = f"{tab} {title}"
        height = {"height": f"{figure.layout.height}px"}
        # The range of the page is that of the plots of series alone.
        kind = "plot" if figure.layout.meta["ranged"] else "still"
        drawn = joined(figure)
        if figure.frames:  # which the control above moves, in all figures at once
            drawn["layout"].pop("sliders", None)
        graph = dcc.Graph(id={"type": kind, "index": key}, figure=drawn, config=_CONFIG, style=height)
        save = [
            html.Button(name, id={"type": kind, "index": key}, **_aria(label=f"save {title} as {name}"))
            for name, kind in (("PNG", "png"), ("CSV", "csv"))
        ]
        wide = " wide" * bool(figure.layout.meta.get("wide"))
        parts.append(html.Div([graph, html.Div(save, className="save")], className=f"plot{wide}", role="group",
                              key=key, **(_aria(label=title) | {"data-key": key})))  # fmt: skip
    return html.Div(parts, className="grid")


def no_data(tab: str, drawn: int, run: str = "RUN_ID") -> html.Div:
    """What a tab says where no run has such data; `run` is one that the command could be about."""
    said = "None of these runs has such data." if drawn else "No run is drawn: change the filter or choose runs."
    command = TABS[tab].command.replace("RUN_ID", run)
    return html.Div([html.P(said), html.P("This command makes some:"), html.Code(command)], className="empty")


def more_data(tab: str, run: str = "RUN_ID") -> html.Details:
    """How more data of a tab's kind is made."""
    command = TABS[tab].command.replace("RUN_ID", run)
    return html.Details([html.Summary("the command that makes such data"), html.Code(command)], className="more")
