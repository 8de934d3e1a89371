"""What a reader cannot do without: no two texts of a figure on top of each other."""

from itertools import combinations

import pytest
from matplotlib.text import Text


def shown(figure):
    """Every text that is drawn, with its box in pixels; ticks outside the limits of their axis are not drawn."""
    hidden = set()
    for ax in figure.axes:
        for axis, (low, high) in ((ax.xaxis, sorted(ax.get_xlim())), (ax.yaxis, sorted(ax.get_ylim()))):
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if not low <= tick.get_loc() <= high:
                    hidden |= {tick.label1, tick.label2}
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text() and text not in hidden]
    return [(text.get_text(), text.get_window_extent().padded(-1)) for text in texts]


@pytest.fixture
def overlaps():
    """A function: pairs of texts of a drawn figure that overlap, and texts beyond its edges."""

    def find(figure):
        figure.draw_without_rendering()  # as saving does: constrained layout needs a second look
        texts, page = shown(figure), figure.bbox
        pairs = [(first, second) for (first, a), (second, b) in combinations(texts, 2) if a.overlaps(b)]
        return pairs + [
            text for text, box in texts if box.x0 < page.x0 or box.x1 > page.x1 or box.y0 < 0 or box.y1 > page.y1
        ]

    return find
