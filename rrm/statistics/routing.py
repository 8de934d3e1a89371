"""Which heads the routers of a network choose for the pairs (a, b) of an operation, at one step of its training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rrm.files import refusing
from rrm.statistics.archive import load_archive, save_archive

ROUTING, KIND = "routing.npz", "file of routing"
REMEDY = "restore the file from a copy, or run the analysis again"


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


@dataclass(frozen=True, eq=False)
class RoutingTrace:
    """The routing of a network at some steps of its training, in their order. label, run: as for `Spectra`."""

    label: str
    run: str
    steps: Sequence[Routing]


def save_routing(found: Sequence[RoutingTrace], path: Path) -> None:
    """Write the routing of several trainings; weights are rounded to 255ths."""
    items: list[dict[str, np.ndarray]] = []
    for trace in found:
        first = trace.steps[0]
        weights = {
            f"weights/{name}": np.stack([np.rint(255 * of.weights[name]).astype(np.uint8) for of in trace.steps])
            for name in first.weights
        }
        own = {"label": np.array(trace.label), "run": np.array(trace.run), "answers": first.answers.astype(np.int64)}
        items.append(own | {"step": np.array([of.step for of in trace.steps], np.int64)} | weights)
    save_archive(path, items)


def load_routing(path: Path) -> list[RoutingTrace]:
    """What `save_routing` wrote; InputError for any other file."""
    items = load_archive(path, KIND, REMEDY)
    found = []
    with refusing(path, KIND, REMEDY):
        for item in items:
            weights = {name.removeprefix("weights/"): of / 255.0 for name, of in item.items() if "/" in name}
            steps, answers = item["step"], item["answers"]
            if any(of.ndim != 4 or of.shape[:3] != (len(steps), *answers.shape) for of in weights.values()):
                raise ValueError("its arrays do not belong together")
            of_steps = [
                Routing(int(step), answers, {name: of[at] for name, of in weights.items()})
                for at, step in enumerate(steps)
            ]
            found.append(RoutingTrace(str(item["label"].item()), str(item["run"].item()), of_steps))
    return found
