"""The state of the page, and the address that says it: every view is a link."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any
from urllib.parse import parse_qs, urlencode

SHORT = 8  # characters of a run's id in an address, which has to stay short for hundreds of runs


@dataclass(frozen=True)
class View:
    """What is shown.

    Attributes:
        tab: name of the tab.
        find: words and conditions that a run has to fit, see `rrm.explorer.runs.matches`.
        jobs: names of the jobs to show; all where there is none.
        sort: column of the table; a minus in front for the largest first.
        page: of the table, from 0.
        runs: first SHORT characters of the ids of chosen runs; all that fit where there is none.
        hidden: the same of runs that are left out of their groups.
        group: settings in which the runs of a group agree; each run is a group where there is none.
        lines: whether the runs of a group are drawn, too.
        x: name of the axis, a key of `rrm.explorer.series.AXES`.
        scale_x, scale_y: "linear" or "log"; "panel" for the scale that each panel has.
        begin, end: of the axis, in its unit; None where it is open.
        smooth: number of points that each point is the mean of.
        layers: what the star of a series may stand for; all where there is none.
        picks: what was chosen in the tab's own list: series, checkpoints, puzzles; what the tab thinks best for none.
        threshold: share of the largest power from which a frequency is a key frequency.
        moment: of boards that are shown call by call, from 0.
        dark: whether the ground is dark; of the reader's machine, so no address says it.
    """

    tab: str = "training"
    find: str = ""
    jobs: tuple[str, ...] = ()
    sort: str = ""
    page: int = 0
    runs: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    group: tuple[str, ...] = ("job", "model", "arm")
    lines: bool = False
    x: str = "step"
    scale_x: str = "linear"
    scale_y: str = "panel"
    begin: float | None = None
    end: float | None = None
    smooth: int = 1
    layers: tuple[str, ...] = ()
    picks: tuple[str, ...] = ()
    threshold: float = 0.15
    moment: int = 0
    dark: bool = False

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> "View":
        """The view of a mapping as `state` gives it; what is missing, unknown or of another type is left as it is."""
        found = {}
        for field in fields(cls):
            if field.name in state and (value := _typed(state[field.name], field.default)) is not _BAD:
                found[field.name] = value
        return cls(**found)

    @property
    def state(self) -> dict[str, Any]:
        """The view as the page keeps it: JSON."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def from_address(cls, search: str) -> "View":
        """The view of the part of an address from its question mark on."""
        given = parse_qs(search.removeprefix("?"), keep_blank_values=True, max_num_fields=5000)
        state: dict[str, Any] = {}
        for field in fields(cls):
            if field.name in given and field.name != "dark":
                values = given[field.name]
                state[field.name] = [one for one in values if one] if isinstance(field.default, tuple) else values[-1]
        return cls.of(state)

    @property
    def address(self) -> str:
        """What `from_address` reads: the fields that are not as they are by default."""
        pairs: list[tuple[str, str]] = []
        for field in fields(self):
            value = getattr(self, field.name)
            if value != field.default and field.name != "dark":
                texts = [_text(one) for one in value] or [""] if isinstance(value, tuple) else [_text(value)]
                pairs += [(field.name, text) for text in texts]
        return f"?{urlencode(pairs)}" if pairs else ""

    def but(self, **changes: Any) -> "View":
        """The view with some fields changed."""
        return replace(self, **changes)


_BAD = object()


def _typed(value: Any, default: object) -> Any:
    """A value in the type of its default, _BAD where it has no such value."""
    if isinstance(default, tuple):
        return tuple(str(one) for one in value) if isinstance(value, list | tuple) else _BAD
    if isinstance(default, bool):
        return str(value).lower() == "true" if str(value).lower() in ("true", "false") else _BAD
    if isinstance(default, str):
        return value if isinstance(value, str) else _BAD
    if value is None or value == "":
        return None if default is None else _BAD
    try:
        number = float(value)
    except (TypeError, ValueError):
        return _BAD
    if not math.isfinite(number):
        return _BAD
    return max(int(number), 0) if isinstance(default, int) else number


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) and value == float(f"{value:g}") else str(value)
