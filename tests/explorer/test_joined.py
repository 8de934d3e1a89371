"""Lines of one look as one trace."""

from base64 import b64decode

import numpy as np
from plotly.graph_objects import Figure

from rrm.explorer.joined import joined


def _line(name, colour, y):
    return {"type": "scatter", "x": [0, 1], "y": y, "name": name, "line": {"color": colour}, "meta": "line",
            "hovertemplate": f"%{{y}}<extra>{name}</extra>"}  # fmt: skip


def test_lines_of_one_colour_are_one_trace_with_a_gap_between():
    lines = [_line("a", "red", [1, 2]), _line("b", "blue", [3, 4]), _line("c", "red", [5, np.nan])]
    red, blue = joined(Figure(lines, {"meta": {"ranged": True}}))["data"]
    values = np.frombuffer(b64decode(red["y"]["bdata"]), red["y"]["dtype"])
    np.testing.assert_array_equal(values, [1, 2, np.nan, 5, np.nan, np.nan])
    assert red["text"] == ["a", "a", "a", "c", "c", "c"] and red["hovertemplate"] == "%{y}<extra>%{text}</extra>"
    assert blue["name"] == "b" and "text" not in blue
