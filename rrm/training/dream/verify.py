"""Which attempts a round accepts: by the rules, by the Q head, by a vote, by the labels, or all."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rrm.errors import InputError
from rrm.models.base import RecursiveModel
from rrm.tasks.base import PuzzleSet, Task
from rrm.tasks.verdict import verdict
from rrm.training.attempts import Attempts


@dataclass(frozen=True)
class Verifier:
    """accept: from a task, N puzzles and K attempts at each to the accepted ones, bool [N, K].

    reads_q: it judges by the Q head.  votes: it compares the attempts at a puzzle.  tells: it puts the label in the
    place of every answer.
    """

    accept: Callable[[Task, PuzzleSet, Attempts], np.ndarray]
    reads_q: bool = False
    votes: bool = False
    tells: bool = False


@dataclass(frozen=True)
class Verdict:
    """accepted: bool [N, K].  right: bool [N, K], by the rules.  answers: uint8 [N, K, S], what training may learn."""

    accepted: np.ndarray
    right: np.ndarray
    answers: np.ndarray


def by_rules(task: Task, puzzles: PuzzleSet, attempts: Attempts) -> np.ndarray:
    """bool [N, K]: the answer keeps the givens and breaks no rule; of a maze, along a shortest path."""
    N, K, S = attempts.answers.shape
    repeated = puzzles.subset(np.repeat(np.arange(N), K))
    return verdict(repeated, task, attempts.answers.reshape(N * K, S))["shortest"].reshape(N, K)


def by_q_head(task: Task, puzzles: PuzzleSet, attempts: Attempts) -> np.ndarray:
    """bool [N, K]: the Q head would halt."""
    return attempts.q > 0


def by_majority(task: Task, puzzles: PuzzleSet, attempts: Attempts) -> np.ndarray:
    """bool [N, K]: more than half of the attempts at the puzzle give the answer."""
    answers = attempts.answers
    votes = (answers[:, :, None] == answers[:, None]).all(-1).sum(-1)
    return 2 * votes > answers.shape[1]


def everything(task: Task, puzzles: PuzzleSet, attempts: Attempts) -> np.ndarray:
    """bool [N, K], all true."""
    return np.ones(attempts.answers.shape[:2], bool)


VERIFIERS: dict[str, Verifier] = {
    "rules": Verifier(by_rules),
    "q_head": Verifier(by_q_head, reads_q=True),
    "majority": Verifier(by_majority, votes=True),
    "oracle": Verifier(everything, tells=True),
    "everything": Verifier(everything),
}


def check(name: str, model: RecursiveModel, rollouts: int) -> None:
    """InputError where a verifier has nothing to judge by."""
    if VERIFIERS[name].reads_q and getattr(model, "q_head", None) is None:
        raise InputError(f"verifier {name!r} needs a Q head, and {type(model).__name__} has none: use 'rules'")
    if VERIFIERS[name].votes and rollouts < 3:
        raise InputError(f"verifier {name!r} counts votes, and rollouts is {rollouts}: use 3 or more, or 'rules'")


def verify(name: str, task: Task, puzzles: PuzzleSet, attempts: Attempts) -> Verdict:
    """The verdict of the verifier of this name."""
    verifier = VERIFIERS[name]
    answers = np.repeat(puzzles.labels[:, None], attempts.answers.shape[1], 1) if verifier.tells else attempts.answers
    return Verdict(verifier.accept(task, puzzles, attempts), by_rules(task, puzzles, attempts), answers)


def with_labels(found: Verdict, labels: np.ndarray) -> Verdict:
    """The verdict with further puzzles behind it, whose answers are their labels [M, S]."""
    answers = np.repeat(labels[:, None], found.accepted.shape[1], 1)
    right = np.ones(answers.shape[:2], bool)
    return Verdict(
        np.concatenate([found.accepted, right]),
        np.concatenate([found.right, right]),
        np.concatenate([found.answers, answers]),
    )


def with_wrong(found: Verdict, share: float, rng: np.random.Generator) -> Verdict:
    """The verdict of a verifier that errs: wrong answers are `share` of what it accepts, as far as there are any."""
    wrong = np.flatnonzero(~found.accepted & ~found.right)
    more = min(len(wrong), round(share / (1 - share) * found.accepted.sum()))
    accepted = found.accepted.copy()
    accepted.flat[rng.choice(wrong, more, replace=False)] = True
    return Verdict(accepted, found.right, found.answers)
