"""Bootstrap, behavioural, refinement, maintenance: a named schedule of other curricula."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from rrm.errors import InputError
from rrm.tasks.base import PuzzleSet, Task
from rrm.training.curricula.belief import Belief
from rrm.training.curricula.curriculum import Curriculum
from rrm.training.curricula.growing import EasyToHard, HardToEasy, RandomPacing
from rrm.training.curricula.hint_mix import HintMix
from rrm.training.curricula.mixed_tiers import MixedTiers
from rrm.training.curricula.replay import Replay
from rrm.training.curricula.scored import LearningProgress
from rrm.training.curricula.uniform import Uniform
from rrm.training.part import read_part


@dataclass(frozen=True)
class FourPhases(Curriculum):
    """One curriculum after the other, each as if its phase were the whole training.

    phases: by name, in their order, {"share": of the training, "kind": a name of KINDS, and its settings}. By default a
    bootstrap with puzzles from easy to hard, a behavioural phase on all tiers alike, a refinement on the failures, and
    a maintenance on all puzzles alike.
    """

    # Those that live on the outcomes of training itself.
    KINDS: ClassVar[Mapping[str, type[Curriculum]]] = {
        "uniform": Uniform,
        "random_pacing": RandomPacing,
        "easy_to_hard": EasyToHard,
        "hard_to_easy": HardToEasy,
        "mixed_tiers": MixedTiers,
        "learning_progress": LearningProgress,
        "replay": Replay,
        "hint_mix": HintMix,
    }

    phases: dict[str, dict[str, Any]] = field(
        default_factory=lambda: {
            "bootstrap": {"share": 0.25, "kind": "easy_to_hard"},
            "behavioural": {"share": 0.25, "kind": "mixed_tiers"},
            "refinement": {"share": 0.25, "kind": "replay"},
            "maintenance": {"share": 0.25, "kind": "uniform"},
        }
    )

    def __post_init__(self) -> None:
        shares = [phase.get("share", 0) for phase in self.phases.values()]
        if not shares or min(shares) <= 0 or not np.isclose(sum(shares), 1):
            raise InputError(f"the phases have shares {shares} of the training: use shares above 0 that sum to 1")
        self.curricula  # noqa: B018  a kind that does not exist is refused here

    @cached_property
    def curricula(self) -> list[Curriculum]:
        """The curriculum of each phase."""
        made = []
        for name, phase in self.phases.items():
            described = {setting: value for setting, value in phase.items() if setting != "share"}
            made.append(read_part(self.KINDS, f"curriculum of phase {name!r}", described))
        return made

    def at(self, progress: float) -> tuple[Curriculum, float]:
        """(the curriculum, the share of its phase that is done) when the share `progress` of the training is done."""
        ends = np.cumsum([phase["share"] for phase in self.phases.values()])
        place = min(int(np.searchsorted(ends, progress, side="right")), len(ends) - 1)
        share = list(self.phases.values())[place]["share"]
        return self.curricula[place], float(np.clip((progress - (ends[place] - share)) / share, 0, 1))

    def check(self, puzzles: PuzzleSet, task: Task) -> None:
        for curriculum in self.curricula:
            curriculum.check(puzzles, task)

    def weights(self, belief: Belief, puzzles: PuzzleSet, progress: float, seed: int) -> np.ndarray:
        curriculum, done = self.at(progress)
        return curriculum.weights(belief, puzzles, done, seed)

    def transform(
        self, inputs: np.ndarray, labels: np.ndarray, progress: float, rng: np.random.Generator
    ) -> np.ndarray:
        curriculum, done = self.at(progress)
        return curriculum.transform(inputs, labels, done, rng)
