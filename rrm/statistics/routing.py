"""Which heads the routers of a network choose for the pairs (a, b) of an operation, at one step of its training."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Routing:
    """The routing of one network.

    Attributes:
        step: of the training.
        answers: int [p, p], by a and b; -1 for a pair without an answer, which counts nowhere.
        weights: by router [p, p, H], which add up to 1 over the H heads.
    """

    step: int
    answers: np.ndarray
    weights: Mapping[str, np.ndarray]

    def use(self, router: str) -> np.ndarray:
        """[H] mean weight of each head, its utilisation."""
        return self.weights[router][self.answers >= 0].mean(0)

    def by_answer(self, router: str) -> np.ndarray:
        """[p, H] mean weight of each head over the pairs with each answer; nan for an answer that no pair has."""
        counts = np.bincount(self.answers[self.answers >= 0], minlength=len(self.answers))
        sums = np.zeros((len(counts), self.weights[router].shape[-1]))
        np.add.at(sums, self.answers[self.answers >= 0], self.weights[router][self.answers >= 0])
        with np.errstate(invalid="ignore"):
            return sums / counts[:, None]

    def chosen(self, router: str) -> np.ndarray:
        """int [p, p] the head of the largest weight for each pair; -1 without one, and for a pair without an answer."""
        weights = np.sort(self.weights[router], -1)
        # Routers begin equal: none of their heads is chosen.
        apart = weights[..., -1] > weights[..., -2:-1].max(-1, initial=0) + 1e-6
        return np.where(apart & (self.answers >= 0), self.weights[router].argmax(-1), -1)
