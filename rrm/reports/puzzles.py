"""What a rated set of puzzles holds: its tiers, a histogram of its ratings, and their noise."""

import numpy as np

from rrm.tasks import PuzzleSet, get_task
from rrm.tasks.difficulty import COPIES, Noise, tier_edges, tier_of, wall_density
from rrm.tasks.maze import MazeTask
from rrm.tasks.sudoku_box import BLANK
from rrm.terminal.table import table

BINS = 10
WIDTH = 40  # characters of the longest bar


def set_lines(puzzles: PuzzleSet, noise: Noise | None, tiers: int) -> list[str]:
    """Lines on a rated set; `noise` None: not measured.

    Raises:
        InputError: where a tier would be empty.
    """
    return [
        *table(_tiers(puzzles, tier_of(puzzles.rating, tier_edges(puzzles.rating, tiers)), tiers)),
        "",
        *_histogram(puzzles.rating),
        "",
        *_noise(puzzles, noise),
    ]


def _tiers(puzzles: PuzzleSet, tier: np.ndarray, tiers: int) -> list[dict[str, str]]:
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
    return rows


def _histogram(ratings: np.ndarray) -> list[str]:
    """Bars over intervals of log(1 + rating) of one width."""
    counts, edges = np.histogram(np.log1p(ratings), BINS)
    bounds = [f"{edge:.2f}" for edge in np.expm1(edges)]
    width = max(map(len, bounds))
    return [
        f"{low.rjust(width)} to {high.rjust(width)}  {'#' * round(WIDTH * count / counts.max()):{WIDTH}}  {count}"
        for low, high, count in zip(bounds, bounds[1:], counts, strict=False)
    ]


def _noise(puzzles: PuzzleSet, noise: Noise | None) -> list[str]:
    if isinstance(get_task(puzzles.task), MazeTask):
        return ["The rating is the number of steps of a shortest path: the same for all symmetric copies."]
    if noise is None:
        return []
    if not noise.guessing:
        return ["The rating counts rounds of singles, the same for all symmetric copies: no puzzle needs a guess."]
    return [
        f"{100 * noise.guessing:.1f} % of the puzzles need guesses, whose number varies by "
        f"{100 * noise.variation:.0f} % between symmetric copies of one of them.",
        f"Reliability {noise.reliability:.3f}: the correlation of log(1 + rating) between two ratings over {COPIES} "
        f"copies each; of one copy each {noise.single:.3f}.",
    ]
