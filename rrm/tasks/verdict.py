"""Verdicts on answers: equal to the label, valid by the rules alone, or along a shortest path. No model is needed."""

import numpy as np

from rrm.tasks.base import PuzzleSet, Task

# The verdicts by name; see `verdict`.
OUTCOMES = ("solved", "valid", "shortest")


def verdict(puzzles: PuzzleSet, task: Task, answers: np.ndarray) -> dict[str, np.ndarray]:
    """Judge one answer of every puzzle.

    Args:
        puzzles: N puzzles of `task`.
        task: the verifier.
        answers: uint8 tokens [N, S].

    Returns:
        OUTCOMES, bool [N] each. solved: the answer equals the label. valid: the answer breaks no constraint and changes
        no given cell, whatever the label says. shortest: valid and, for a maze, along a shortest path; for other tasks
        the same as valid.
    """
    score = task.score(puzzles.inputs, puzzles.labels, answers)
    valid = (score["violations"] == 0) & (score["changed_givens"] == 0)
    return {"solved": score["exact"], "valid": valid, "shortest": score.get("shortest", valid)}


def distinct_outcomes(puzzles: PuzzleSet, task: Task) -> tuple[str, ...]:
    """The OUTCOMES that can differ for the task; the last one is the one to judge by.

    Only "solved" where the label is the one right answer. A maze has millions of shortest paths: "solved" asks for the
    path that a rule of neighbour order picks, and "valid" is met by marking every open cell.
    """
    first = puzzles.subset(slice(0, 1))
    several = "valid" in task.score(first.inputs, first.labels, first.labels)
    return OUTCOMES if several else OUTCOMES[:1]
