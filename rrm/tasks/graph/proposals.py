"""New puzzles by three ways, and the solver's time that they take: fresh, in the vicinity of hard ones, by the graph.

All of them get the same knowledge, puzzles with the outcomes of a model, and give puzzles that are no symmetric copies
of these or of each other.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from rrm.tasks import PuzzleSet, get_task
from rrm.tasks.difficulty import rated
from rrm.tasks.graph.graph import PuzzleGraph
from rrm.tasks.sudoku import SudokuTask
from rrm.tasks.sudoku_hard import HARDEST, minimal, vicinity

BATCHES = 4  # turns of each way, taken in alternation: a busy machine then slows all of them alike


@dataclass(frozen=True)
class Proposed:
    """Puzzles of one way.

    puzzles: N of them.  seconds: CPU time of this process that they took.
    """

    puzzles: PuzzleSet
    seconds: float


# From what is known, a number of puzzles and a generator: at most as many new puzzles, copies among them.
Proposer = Callable[[PuzzleGraph, int, int, np.random.Generator], PuzzleSet]


def fresh(known: PuzzleGraph, count: int, length: int, rng: np.random.Generator) -> PuzzleSet:
    """From the generator of the task, with as many givens as the known puzzles have."""
    task = get_task(known.task)
    givens = known.moves.bounds if isinstance(task, SudokuTask) else None
    return task.generate(count, int(rng.integers(2**32)), givens)


def near_hard(known: PuzzleGraph, count: int, length: int, rng: np.random.Generator) -> PuzzleSet:
    """One step of a vicinity search from the known puzzles of highest rating, made minimal (Sudoku alone)."""
    task = get_task(known.task)
    assert isinstance(task, SudokuTask)
    hardest = rated(known.puzzles()).rating.argsort(kind="stable")[-HARDEST:]
    starts = rng.choice(hardest, count)
    bare = minimal(known.inputs[starts], known.labels[starts], task.box, rng)
    inputs, labels = vicinity(bare, task.box, rng)
    return PuzzleSet.of(known.task, inputs, labels, source="vicinity")


def walked(known: PuzzleGraph, count: int, length: int, rng: np.random.Generator) -> PuzzleSet:
    """Ends of walks that begin where the model solves about half of its attempts."""
    graph, ends = known.walk(count, length, None, rng)
    return graph.puzzles(ends)


def walked_near(known: PuzzleGraph, count: int, length: int, rng: np.random.Generator) -> PuzzleSet:
    """As `walked`, by small moves alone."""
    graph, ends = known.walk(count, length, None, rng, known.moves.small)
    return graph.puzzles(ends)


def walked_blindly(known: PuzzleGraph, count: int, length: int, rng: np.random.Generator) -> PuzzleSet:
    """Ends of walks that begin at any known puzzle: the moves without the model."""
    graph, ends = known.walk(count, length, np.ones(len(known)), rng)
    return graph.puzzles(ends)


def proposers(task: str) -> Mapping[str, Proposer]:
    """The ways to new puzzles of a task, by name."""
    hard = {"vicinity": near_hard} if isinstance(get_task(task), SudokuTask) else {}
    return {
        "fresh": fresh,
        **hard,
        "graph": walked,
        "graph, small moves": walked_near,
        "graph, any start": walked_blindly,
    }


def propose(known: PuzzleGraph, count: int, length: int, seed: int) -> dict[str, Proposed]:
    """About `count` puzzles by each way, fewer where a way leads to no more.

    Args:
        known: puzzles with outcomes; its bounds hold for fresh puzzles and for walks.
        count: puzzles of each way.
        length: moves of a walk.
        seed: of everything; puzzles are the same for the same seed, seconds are not.
    """
    ways = proposers(known.task)
    found = {name: Proposed(PuzzleSet.of(known.task, known.inputs[:0], known.labels[:0]), 0.0) for name in ways}
    for turn in range(BATCHES):
        wanted = count * (turn + 1) // BATCHES - count * turn // BATCHES
        for number, (name, make) in enumerate(ways.items()):
            rng = np.random.default_rng([seed, turn, number])
            started = time.process_time()
            made = make(known, wanted, length, rng)
            before = found[name]
            together = PuzzleSet.concatenate([before.puzzles, made])
            new = _first_of_each(known, together)
            found[name] = Proposed(together.subset(new), before.seconds + time.process_time() - started)
    return found


def _first_of_each(known: PuzzleGraph, puzzles: PuzzleSet) -> np.ndarray:
    """int: rows of puzzles that are no symmetric copies of known puzzles or of earlier rows."""
    marks = known.moves.marks(puzzles.inputs, puzzles.labels)
    first = np.sort(np.unique(marks, return_index=True)[1])
    return first[~np.isin(marks[first], known.marks)]
