"""Rules by which a rollout stops by itself: the answer is read at the first segment at which a rule holds.

To add a rule, write a function like `halt` and name it in `STOPS`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rrm.models.base import Readout, RecursiveModel
from rrm.tasks.base import PuzzleSet, Task
from rrm.tasks.verdict import OUTCOMES, verdict

# Segments in a row over which the answer of a settled rollout has not changed. One is common amid the search.
HOLD = 2


@dataclass(frozen=True)
class Seen:
    """What a rule sees of B rollouts after a segment.

    Attributes:
        wants: [B] bool, the Q head says halt (`RecursiveModel.wants_to_halt`); None without a Q head.
        q_halt: [B], the halting logit; None without a Q head.
        unchanged: [B] int64, segments in a row, this one included, that left the decoded answer as it was.
        moved: [B], Euclidean norm of the change of the joint state over the segment, in state units; noise at the start
            of the segment is no part of the change.
    """

    wants: Tensor | None
    q_halt: Tensor | None
    unchanged: Tensor
    moved: Tensor


# (stops [B] bool, rank [B]: of rollouts that stop at once the highest is to be believed); None where it cannot tell.
Rule = Callable[[Seen], tuple[Tensor, Tensor] | None]


def halt(seen: Seen) -> tuple[Tensor, Tensor] | None:
    """The Q head says halt; of several rollouts the one of the highest halting logit."""
    if seen.wants is None or seen.q_halt is None:
        return None
    return seen.wants, seen.q_halt


def settle(seen: Seen) -> tuple[Tensor, Tensor]:
    """The answer has not changed for HOLD segments; of several rollouts the one whose state moved least.

    `StochasticResult.settled` looks back from the end of a rollout. This is what can be known on the way.
    """
    return seen.unchanged >= HOLD, -seen.moved


STOPS: dict[str, Rule] = {"halt": halt, "settle": settle}


class Stopwatch:
    """When each of B rollouts stops by every rule of STOPS, and the answer that is read then."""

    def __init__(self, model: RecursiveModel, rows: int, device: torch.device):
        self._model = model
        self._tokens: Tensor | None = None
        self._unchanged = torch.zeros(rows, dtype=torch.int64, device=device)
        self._segment = torch.zeros(len(STOPS), rows, dtype=torch.int32, device=device)
        self._rank = torch.full((len(STOPS), rows), -torch.inf, device=device)
        self._answers: Tensor | None = None  # [len(STOPS), B, S]

    def look(self, segment: int, readout: Readout, tokens: Tensor, moved: Tensor, finite: Tensor) -> None:
        """Take in `segment` (from 1): tokens [B, S], and what `Seen` names; rows that are not finite do not stop."""
        if self._tokens is not None:
            changed = (tokens != self._tokens).any(1)
            self._unchanged = torch.where(changed, 0, self._unchanged + 1)
        if self._answers is None:
            self._answers = tokens.expand(len(STOPS), *tokens.shape).clone()
        self._tokens = tokens
        seen = Seen(self._model.wants_to_halt(readout), readout.q_halt, self._unchanged, moved)
        for place, rule in enumerate(STOPS.values()):
            if (found := rule(seen)) is not None:
                stops, rank = found
                first = stops & finite & (self._segment[place] == 0)
                self._segment[place][first] = segment
                self._rank[place][first] = rank[first].float()
                self._answers[place][first] = tokens[first]

    def found(self, puzzles: PuzzleSet, task: Task) -> dict[str, np.ndarray]:
        """The arrays stop_... of a `StochasticResult`, each [B, len(STOPS)]."""
        assert self._answers is not None
        segment = self._segment.T.cpu().numpy()
        judged = [verdict(puzzles, task, answers.to(torch.uint8).cpu().numpy()) for answers in self._answers]
        right = {f"stop_{name}": np.stack([each[name] for each in judged], 1) & (segment > 0) for name in OUTCOMES}
        return {"stop_segment": segment, "stop_rank": self._rank.T.cpu().numpy(), **right}
