"""Fourier structure of a network along its training, as small arrays that any threshold of key frequencies acts on.

Key frequencies are the strongest ones, so that those of a higher threshold are among those of a lower one: the losses
of the logits with the strongest 0, 1, 2, ... frequencies say what every threshold ablates, without the logits.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from rrm.files import refusing
from rrm.statistics.archive import load_archive, save_archive
from rrm.statistics.fourier import Ablation, fourier, key_frequencies, nested_ablations

SPECTRA, KIND = "spectra.npz", "file of spectra"
REMEDY = "restore the file from a copy, or run the analysis again"
# The least threshold that ablations are computed for.
LEAST = 0.05
LOGITS, PARTS = ("full", "restricted", "excluded"), ("all", "train", "test")


@dataclass(frozen=True, eq=False)
class Spectra:
    """The networks of T moments of a training on one operation, whose group has n elements; m = n // 2 frequencies.

    Attributes:
        label: of the training.
        run: its id, "" for a checkpoint folder.
        operation: as for `rrm.statistics.fourier`.
        name: [T] str, "initial", "500" for a snapshot, "best", "final".
        step: [T] int64, ascending.
        embedding_power: [T, m] share of power.
        explained: [T, m] fraction of the variance of the logits.
        inverse: [T] that of all frequencies of the inverse operation.
        plane: [T, n, n] share of the power of the logits at each 2-D frequency.
        loss, accuracy: [T, LOGITS, PARTS, m + 1] of the logits, of those of the strongest 0 to m frequencies, and of
            those without them; nan for frequencies below LEAST of the largest, and for pairs that nobody knows of.
    """

    label: str
    run: str
    operation: str
    name: np.ndarray
    step: np.ndarray
    embedding_power: np.ndarray
    explained: np.ndarray
    inverse: np.ndarray
    plane: np.ndarray
    loss: np.ndarray
    accuracy: np.ndarray

    def keys(self, moment: int, threshold: float) -> np.ndarray:
        """Key frequencies of the logits, the strongest first."""
        return key_frequencies(self.explained[moment], threshold)

    def embedding_keys(self, moment: int, threshold: float) -> np.ndarray:
        """Key frequencies of the embedding, the strongest first."""
        return key_frequencies(self.embedding_power[moment], threshold)

    def ablated(self, moment: int, threshold: float) -> tuple[np.ndarray, np.ndarray]:
        """Loss in nats and accuracy [LOGITS, PARTS] with the key frequencies of a threshold from LEAST on."""
        count = len(self.keys(moment, max(threshold, LEAST)))
        return self.loss[moment, :, :, count], self.accuracy[moment, :, :, count]

    def key_fve(self, moment: int, threshold: float) -> float:
        """Fraction of variance that the key frequencies explain."""
        return float(self.explained[moment][self.keys(moment, threshold) - 1].sum())


def spectra(
    label: str,
    operation: str,
    networks: Iterable[tuple[str, int, ArrayLike, ArrayLike]],
    train: ArrayLike,
    run: str = "",
) -> Spectra:
    """The spectra of a training.

    Args:
        networks: (name, step, logits [p, p, C], embedding [p, D]) of every moment, the earliest first.
        train: bool [p, p], the trained pairs.

    Raises:
        ValueError: as for `rrm.statistics.fourier.fourier`.
    """
    names, steps, found, by_count = [], [], [], []
    for name, step, logits, embedding in networks:
        names.append(name)
        steps.append(step)
        found.append(fourier(logits, operation, embedding, train, LEAST))
        by_count.append(_by_count(nested_ablations(logits, operation, train, LEAST), found[-1].frequency.size))
    judged = np.stack(by_count).astype(np.float32)
    return Spectra(
        label=label, run=run, operation=operation, name=np.array(names, str), step=np.array(steps, np.int64),
        embedding_power=np.stack([np.asarray(of.embedding_power) for of in found]).astype(np.float32),
        explained=np.stack([of.explained for of in found]).astype(np.float32),
        inverse=np.array([of.inverse for of in found], np.float32),
        plane=np.stack([of.logit_power for of in found]).astype(np.float32),
        loss=judged[:, 0], accuracy=judged[:, 1],
    )  # fmt: skip


def _by_count(counts: Iterable[Mapping[tuple[str, str], Ablation]], most: int) -> np.ndarray:
    """[2, LOGITS, PARTS, most + 1]: losses and accuracies."""
    found = np.full((2, len(LOGITS), len(PARTS), most + 1), np.nan)
    for count, ablations in enumerate(counts):
        for (logits, part), of in ablations.items():
            found[:, LOGITS.index(logits), PARTS.index(part), count] = of.loss, of.accuracy
    return found


def save_spectra(found: Sequence[Spectra], path: Path) -> None:
    """Write the spectra of several trainings and operations."""
    save_archive(path, [{field.name: getattr(one, field.name) for field in fields(Spectra)} for one in found])


def load_spectra(path: Path) -> list[Spectra]:
    """What `save_spectra` wrote; InputError for any other file."""
    items = load_archive(path, KIND, REMEDY)
    with refusing(path, KIND, REMEDY):
        for item in items:
            T, m = item["explained"].shape
            n = item["plane"].shape[-1]
            judged = (T, len(LOGITS), len(PARTS), m + 1)
            shapes = {"name": (T,), "step": (T,), "embedding_power": (T, m), "inverse": (T,), "plane": (T, n, n)}
            shapes |= {"loss": judged, "accuracy": judged}
            if m != n // 2 or not T or any(item[name].shape != shape for name, shape in shapes.items()):
                raise ValueError("its arrays do not belong together")
        words = ("label", "run", "operation")
        return [Spectra(**item | {name: str(item[name].item()) for name in words}) for item in items]  # type: ignore[arg-type]
