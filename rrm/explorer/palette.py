"""Colours of groups on light and on dark ground, and dashes of series."""

from collections.abc import Sequence

# The muted scheme of Paul Tol as in `rrm.figures.style`, and the lighter tones of its hues for dark ground.
LIGHT = ("#332288", "#cc6677", "#117733", "#88ccee", "#999933", "#aa4499")
DARK = ("#9f94f2", "#ee99aa", "#5fc489", "#88ccee", "#d4d470", "#dd88cc")
STEPS = 12  # of viridis at most: more are not told apart by eye
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")


def colours_of(count: int, dark: bool = False) -> Sequence[str]:
    """A colour for each of `count` groups: those of the scheme, or of viridis where there are not as many.

    Beyond STEPS groups neighbours share a colour.
    """
    scheme = DARK if dark else LIGHT
    if count <= len(scheme):
        return scheme[:count]
    from plotly.colors import sample_colorscale

    # The end that the ground would swallow is left out.
    low, high = (0.15, 1.0) if dark else (0.0, 0.88)
    steps = min(count, STEPS)
    hues = sample_colorscale("Viridis", [low + (high - low) * step / (steps - 1) for step in range(steps)])
    return [hues[place * steps // count] for place in range(count)]


def see_through(colour: str, share: float) -> str:
    """A colour, "#rrggbb" or "rgb(r, g, b)", that lets the ground through."""
    if colour.startswith("#"):
        colour = f"rgb({', '.join(str(int(colour[i : i + 2], 16)) for i in (1, 3, 5))})"
    return colour.replace("rgb(", "rgba(").replace(")", f", {share:g})")
