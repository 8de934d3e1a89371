"""What a rated set of puzzles holds: its tiers, a histogram of its ratings, and their noise."""

from collections.abc import Mapping

import numpy as np

from rrm.tasks import PuzzleSet, get_task
from rrm.tasks.difficulty import COPIES, Noise, tier_edges, tier_of, wall_density
from rrm.tasks.maze import MazeTask
from rrm.tasks.sudoku_box import BLANK
from rrm.terminal.table import table

BINS = 10
WIDTH = 40  # characters of the longest bar


def set_lines(
    puzzles: PuzzleSet, noises: Mapping[str, Noise], tiers: int, stated: np.ndarray | None = None
) -> list[str]:
    """Lines on a rated set.

    Args:
        puzzles: the set.
        noises: of its ratings, "all" and by source; empty where none was measured.
        tiers: number of tiers.
        stated: float [N], ratings that the source of the puzzles states, nan where it states none.

    Raises:
        InputError: where a tier would be empty.
    """
    return [
        *_tiers(puzzles, tiers), "", *_histogram(puzzles.rating), "",
        *_noise(puzzles, noises), *_agreement(puzzles, stated),
    ]  # fmt: skip


def tier_lines(puzzles: PuzzleSet, noises: Mapping[str, Noise], tiers: int) -> list[str]:
    """The tiers of a rated set, and below them the noise of its ratings; arguments and errors as of `set_lines`."""
    return [*_tiers(puzzles, tiers), *_noise(puzzles, noises)]


def _tiers(puzzles: PuzzleSet, tiers: int) -> list[str]:
    tier = tier_of(puzzles.rating, tier_edges(puzzles.rating, tiers))
    rows = []
    for number in range(tiers):
        part = puzzles.subset(tier == number)
        low, middle, high = np.quantile(part.rating, (0, 0.5, 1))
        row = {"tier": str(number + 1), "puzzles": str(len(part))}
        row |= {"rating from": f"{low:.2f}", "median": f"{middle:.2f}", "to": f"{high:.2f}"}
        if isinstance(get_task(puzzles.task), MazeTask):
            row["walls %"] = f"{100 * wall_density(part).mean():.1f}"
        else:
            row["givens"] = f"{(part.inputs != BLANK).sum(axis=1).mean():.1f}"
        rows.append(row)
    return table(rows)


def _histogram(ratings: np.ndarray) -> list[str]:
    """Bars over intervals of log(1 + rating) of one width."""
    counts, edges = np.histogram(np.log1p(ratings), BINS)
    bounds = [f"{edge:.2f}" for edge in np.expm1(edges)]
    width = max(map(len, bounds))
    return [
        f"{low.rjust(width)} to {high.rjust(width)}  {'#' * round(WIDTH * count / counts.max()):{WIDTH}}  {count}"
        for low, high, count in zip(bounds, bounds[1:], counts, strict=False)
    ]


def _noise(puzzles: PuzzleSet, noises: Mapping[str, Noise]) -> list[str]:
    if isinstance(get_task(puzzles.task), MazeTask):
        return ["The rating is the number of steps of a shortest path: the same for all symmetric copies."]
    if not noises:
        return []
    if not noises["all"].guessing:
        return ["The rating counts rounds of singles, the same for all symmetric copies: no puzzle needs a guess."]
    rows = [
        {
            "puzzles": name,
            "need guesses %": f"{100 * noise.guessing:.1f}",
            "variation %": f"{100 * noise.variation:.0f}",
            "reliability": f"{noise.reliability:.3f}",
            "of one copy": f"{noise.single:.3f}",
        }
        for name, noise in noises.items()
    ]
    return [
        *table(rows),
        "Variation: of guesses between symmetric copies of one puzzle. Reliability: correlation of log(1 + rating) "
        f"between two ratings over {COPIES} copies each.",
    ]


def _agreement(puzzles: PuzzleSet, stated: np.ndarray | None) -> list[str]:
    """How the ratings that came with the puzzles agree with these."""
    known = np.zeros(0, bool) if stated is None else np.isfinite(stated) & (stated >= 0)
    if stated is None or known.sum() < 2 or min(stated[known].std(), puzzles.rating[known].std()) == 0:
        return []
    found = np.corrcoef(np.log1p(stated[known]), np.log1p(puzzles.rating[known]))[0, 1]
    return [f"The ratings that came with {known.sum()} of the puzzles correlate by {found:.3f} with these, as log."]
