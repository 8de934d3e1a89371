"""How hard the puzzles of any task are, and the tiers of a set by that rating.

Sudoku: rounds + guesses, the mean round of singles in which a cell gets its digit (`sudoku_rating.settling`) and the
guesses of a search over 20 symmetric copies (`sudoku_rating.rate`). Guesses order hard puzzles of 9 x 9. Rounds order
puzzles that need none, which are nearly all of 4 x 4 and 6 x 6: of 6 x 6 puzzles with 10 to 16 givens a half-trained
TRM fails at those whose cells are settled late (rank correlation 0.68 with its failures; number of blanks 0.60,
guesses 0.09). Mazes: steps of a shortest path.

Guesses alone are noisy: rounds and path lengths are the same for all symmetric copies of a puzzle.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from rrm.errors import InputError
from rrm.tasks import PuzzleSet, get_task
from rrm.tasks.maze import MazeTask
from rrm.tasks.maze_cells import PATH, WALL
from rrm.tasks.sudoku import SudokuTask
from rrm.tasks.sudoku_rating import COPIES, guesses_of_copies, rate, settling

TIERS = 3  # easy, middle, hard


def rated(puzzles: PuzzleSet, seed: int = 0, progress: Callable[[int], None] = lambda rows: None) -> PuzzleSet:
    """The set with the difficulty of its puzzles as rating, whatever rating it had; the same for the same seed.

    `progress` is called with the number of puzzles of every finished block of Sudokus.

    Raises:
        InputError: for a task without a difficulty.
    """
    task = get_task(puzzles.task)
    if isinstance(task, MazeTask):
        difficulty = (puzzles.labels == PATH).sum(axis=1) + 1.0
    elif isinstance(task, SudokuTask):
        rng = np.random.Generator(np.random.Philox(seed))
        difficulty = settling(puzzles.inputs, task.box) + rate(puzzles.inputs, task.box, rng, COPIES, progress)
    else:
        raise InputError(f"task {puzzles.task!r} has no difficulty: rate a Sudoku or a maze")
    return replace(puzzles, rating=difficulty.astype(np.float32))


def wall_density(puzzles: PuzzleSet) -> np.ndarray:
    """float64 [N]: share of the cells of mazes that are walls."""
    return (puzzles.inputs == WALL).mean(axis=1)


def tier_edges(ratings: np.ndarray, tiers: int = TIERS) -> np.ndarray:
    """float64 [tiers - 1]: the ratings at which the next tier begins; tiers are about as equal as ties allow.

    Raises:
        InputError: for unrated puzzles (nan), and where a tier would be empty.
    """
    if not len(ratings) or np.isnan(ratings).any():
        unrated = int(np.isnan(ratings).sum())
        raise InputError(
            f"{unrated} of {len(ratings)} puzzles have no rating: rate the set with python -m rrm puzzles --data FILE "
            "--out FILE"
        )
    if not 1 <= tiers <= len(ratings):
        raise InputError(f"{tiers} tiers for {len(ratings)} puzzles: use 1 to {len(ratings)}")
    values, counts = np.unique(np.asarray(ratings, np.float64), return_counts=True)
    if len(values) < tiers:
        raise InputError(
            f"{tiers} tiers of {len(values)} different rating(s): a tier would be empty; use fewer tiers, or puzzles "
            "that differ more"
        )
    below = counts.cumsum()[:-1]  # puzzles below each value but the smallest, where a tier may begin
    starts: list[int] = []
    for tier in range(1, tiers):
        first, end = starts[-1] + 1 if starts else 0, len(below) - (tiers - 1 - tier)
        distance = np.abs(below[first:end] - len(ratings) * tier / tiers)
        starts.append(first + int(distance.argmin()))
    return values[1:][starts]


def tier_of(ratings: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """int64 [N]: the tier of each rating, 0 for the easiest; equal ratings are in one tier."""
    return np.searchsorted(edges, np.asarray(ratings, np.float64), side="right")


@dataclass(frozen=True)
class Noise:
    """How much ratings depend on the symmetric copy that is rated.

    Attributes:
        reliability: correlation of log(1 + rating) between two ratings of the puzzles, each over `COPIES` copies of its
            own; 1 where the difficulty is the same for all copies.
        single: the same between two ratings over one copy each.
        variation: standard deviation of the guesses over copies of one puzzle divided by their mean, averaged over
            the puzzles that need guesses; 0 without any.
        guessing: share of the puzzles that need guesses.
    """

    reliability: float
    single: float
    variation: float
    guessing: float


def noise(puzzles: PuzzleSet, seed: int = 0) -> dict[str, Noise]:
    """The noise of the ratings that `rated` gives, measured anew on symmetric copies: "all", then by source.

    Within a source, where difficulty varies less, the same noise makes ratings less reliable. Sources of one puzzle,
    and a single source, are left out.

    Raises:
        InputError: for fewer than two puzzles, or a task without a difficulty.
    """
    if len(puzzles) < 2:
        raise InputError(f"{len(puzzles)} puzzle(s): the noise of ratings needs 2 or more")
    task = get_task(puzzles.task)
    if isinstance(task, SudokuTask):
        counts = guesses_of_copies(puzzles.inputs, task.box, np.random.Generator(np.random.Philox(seed)), 2 * COPIES)
        rounds = settling(puzzles.inputs, task.box)
    else:
        counts, rounds = np.zeros((len(puzzles), 2 * COPIES), np.int64), rated(puzzles).rating
    members = {"all": np.ones(len(puzzles), bool)}
    sources = np.unique(puzzles.source)
    if len(sources) > 1:
        members |= {str(source): puzzles.source == source for source in sources}
    return {name: _noise(rounds[rows], counts[rows]) for name, rows in members.items() if rows.sum() > 1}


def _noise(rounds: np.ndarray, counts: np.ndarray) -> Noise:
    """The noise of ratings from rounds [N] and the guesses int [N, 2 * COPIES] of symmetric copies."""

    def correlation(first: np.ndarray, second: np.ndarray) -> float:
        """Between ratings over the copies int [N, C] of two halves."""
        pair = [np.log1p(rounds + np.expm1(np.log1p(half).mean(axis=1))) for half in (first, second)]
        return float(np.corrcoef(*pair)[0, 1]) if min(map(np.std, pair)) > 0 else 1.0

    hard = counts[counts.any(axis=1)]
    return Noise(
        reliability=correlation(counts[:, :COPIES], counts[:, COPIES:]),
        single=correlation(counts[:, :1], counts[:, COPIES : COPIES + 1]),
        variation=float((hard.std(axis=1) / hard.mean(axis=1)).mean()) if len(hard) else 0.0,
        guessing=len(hard) / len(counts),
    )
