"""The order in which training sees puzzles under a curriculum: weights change between rounds alone."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from rrm.errors import InputError
from rrm.training.curricula.belief import Belief
from rrm.training.curricula.curriculum import Curriculum
from rrm.training.curricula.registry import CURRICULA
from rrm.training.part import Context, Data, describe_part, read_part
from rrm.training.source import Source, SourceSettings
from rrm.training.stream import as_tensors, check_batch


class CurriculumStream(Source):
    """Batches drawn by the weights of a curriculum, in rounds of `every` steps.

    At the begin of a round the curriculum turns the outcomes so far into weights. Within the round `batch(step)` is a
    pure function of the seed, the step and these weights, so one worker, several workers and a resumed training see the
    same rows. A round draws each puzzle as often as its weight says, up to less than one time (systematic sampling):
    flat weights show no puzzle twice before all were shown, where a round has no more rows than puzzles. Every row is a
    new random symmetric copy of its puzzle.
    """

    observes = True

    def __init__(
        self,
        curriculum: Curriculum,
        every: int,
        data: Data,
        batch_size: int,
        total_steps: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
    ):
        check_batch(data.train, batch_size, world)
        curriculum.check(data.train, data.task)
        self.curriculum, self.every, self.data, self.batch_size = curriculum, every, data, batch_size
        self.total_steps, self.seed = total_steps, seed
        self.mine = slice(rank * batch_size // world, (rank + 1) * batch_size // world)
        self.belief = Belief.blank(len(data.train))
        self._dealt: tuple[int, np.ndarray] | None = None

    def batch(self, step: int) -> dict[str, Tensor]:
        number, position = divmod(step, self.every)
        if number > self.belief.round:
            self._turn(number)
        if self._dealt is None or self._dealt[0] != number:
            rng = np.random.default_rng([self.seed, 0, number])
            self._dealt = number, systematic_sample(self.belief.weights, self.every * self.batch_size, rng)
        rows = self._dealt[1][position * self.batch_size :][: self.batch_size]
        task, train = self.data.task, self.data.train
        inputs, labels = task.augment(
            train.inputs[rows], train.labels[rows], np.random.default_rng([self.seed, 1, step])
        )
        inputs = self.curriculum.transform(
            inputs, labels, self._progress(number), np.random.default_rng([self.seed, 2, step])
        )
        identifiers, mine = train.puzzle_identifiers[rows], self.mine
        return as_tensors(inputs[mine], labels[mine], identifiers[mine], rows[mine], task.ignore_label_id)

    def observe(self, step: int, rows: Mapping[str, Tensor]) -> None:
        """Count the puzzles that halted, unless the curriculum lives on attempts made for it."""
        if not self.curriculum.needs_trials:
            halted = rows["halted"].bool()
            self.count(rows["row"][halted].cpu().numpy(), rows["solved"][halted].cpu().numpy())

    def count(self, rows: np.ndarray, solved: np.ndarray) -> None:
        """Count outcomes, as `Belief.observe`; the coming round is the first whose weights know of them."""
        self.belief = self.belief.observe(rows, solved)

    def metrics(self) -> dict[str, float]:
        """Of the round that runs: how many puzzles its weights are worth, as a share of all (1 for equal weights,
        1 / (N sum of their squares) in general), and their mean rating where puzzles are rated; share ever tried.
        """
        weights, rating = self.belief.weights, self.data.train.rating
        found = {
            "curriculum/breadth": float(1 / (len(weights) * np.square(weights).sum())),
            "curriculum/tried": float((self.belief.last_seen >= 0).mean()),
        }
        return found if np.isnan(rating).any() else found | {"curriculum/rating": float(weights @ rating)}

    def tensors(self) -> dict[str, Tensor]:
        return self.belief.tensors()

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        self.belief, self._dealt = Belief.from_tensors(tensors), None

    def _turn(self, number: int) -> None:
        """Begin round `number`."""
        coming = replace(self.belief, round=number)
        weights = self.curriculum.weights(coming, self.data.train, self._progress(number), self.seed)
        self.belief, self._dealt = replace(coming, weights=weights / weights.sum()), None

    def _progress(self, number: int) -> float:
        """Share of the training that is done when a round begins."""
        return min(1.0, number * self.every / self.total_steps)


def systematic_sample(weights: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """int64 [count]: indices in random order, each one count x weight times up to less than one; weights sum to 1."""
    order = rng.permutation(len(weights))
    ends = weights[order].cumsum()
    places = (rng.random() + np.arange(count)) / count * ends[-1]
    # Rounding may put the last place at the very end.
    drawn = order[np.searchsorted(ends, places, side="right").clip(max=np.flatnonzero(weights[order])[-1])]
    return rng.permutation(drawn)


@dataclass(frozen=True)
class CurriculumSettings(SourceSettings):
    """curriculum: {"kind": a name of CURRICULA, and its settings}.  every: steps of a round."""

    CURRICULA: ClassVar[Mapping[str, type[Curriculum]]] = CURRICULA

    curriculum: dict[str, Any] = field(default_factory=lambda: {"kind": "uniform"})
    every: int = 25

    def __post_init__(self) -> None:
        if type(self.every) is not int or self.every < 1:
            raise InputError(f"every is {self.every!r}: use a number of steps from 1")
        object.__setattr__(self, "curriculum", describe_part(self.curriculum.get("kind", ""), self.chosen))

    @cached_property
    def chosen(self) -> Curriculum:
        """The curriculum."""
        return read_part(self.CURRICULA, "curriculum", self.curriculum)

    def check(self, hooks: Collection[str]) -> None:
        if self.chosen.needs_trials and "trials" not in hooks:
            raise InputError(
                f"curriculum {self.curriculum['kind']!r} needs attempts at the training puzzles, and nothing makes "
                "them: add the hook 'trials'"
            )

    def build(self, context: Context) -> CurriculumStream:
        return CurriculumStream(
            self.chosen,
            self.every,
            context.puzzles,
            context.batch_size,
            context.total_steps,
            context.seed,
            context.rank,
            context.world,
        )
