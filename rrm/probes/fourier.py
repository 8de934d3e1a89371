"""The waves that a network of modular arithmetic computes with; `rrm.statistics.fourier` has the formulas.

fourier: gini = Gini coefficient of the power of the numbers' embedding over the frequencies of the operation's group,
of power by the discrete Fourier transform of the embedding in the order of the group: near 0 for a random embedding, 1
for one wave (early sign of arXiv 2301.05217). keys = number of frequencies with at least .15 of the largest power.
structure: from the logits of all p^2 pairs, explained = the fraction of their variance that the characters of the
operation explain, inverse = that of the inverse operation; restricted_loss = cross-entropy (nats) on test pairs of the
mean logits and the key frequencies alone, excluded_loss = on training pairs of the logits without them;
low_frequencies = the share of the power of the logits at low 2-D frequencies (`rrm.models.smoothness`).
With several operations each number has the name of its operation behind it, gini/add. An operation whose numbers are
no cyclic group (a product for a p that is no prime) has none.
Cost: fourier .02 training steps, structure, a pass of all pairs and transforms of them, 3.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from rrm.models import TokenModel
from rrm.models.pairs import number_vectors, pair_logits
from rrm.models.smoothness import low_frequencies
from rrm.probes.probe import Probe
from rrm.probes.view import Formula, View
from rrm.statistics.fourier import embedding_power, fourier, gini, group_order, key_frequencies
from rrm.tasks.modular import ModularArithmetic


class FourierSpectrum(Probe):
    """gini, keys."""

    name = "fourier"

    @classmethod
    def lacking(cls, model: nn.Module, formula: Formula | None) -> str | None:
        return no_numbers(model)

    def measure(self, view: View) -> dict[str, Tensor]:
        def numbers(model: TokenModel, table: ModularArithmetic, place: int) -> dict[str, float]:
            power = embedding_power(number_vectors(model, table.p), table.operations[place])
            return {"gini": gini(power), "keys": len(key_frequencies(power))}

        return by_operation(view, numbers)


class FourierStructure(Probe):
    """explained, inverse, restricted_loss, excluded_loss, low_frequencies."""

    name = "structure"
    turns = 16

    @classmethod
    def lacking(cls, model: nn.Module, formula: Formula | None) -> str | None:
        return no_numbers(model)

    def measure(self, view: View) -> dict[str, Tensor]:
        def numbers(model: TokenModel, table: ModularArithmetic, place: int) -> dict[str, float]:
            logits = pair_logits(model, table.p, place)
            found = fourier(logits, table.operations[place], train=table.trained(place))
            return {
                "explained": found.fve,
                "inverse": found.inverse,
                "restricted_loss": found.ablations["restricted", "test"].loss,
                "excluded_loss": found.ablations["excluded", "train"].loss,
                "low_frequencies": low_frequencies(torch.from_numpy(logits)).item(),
            }

        return by_operation(view, numbers)


def no_numbers(model: nn.Module) -> str | None:
    """`Probe.lacking` of a probe of embedded numbers."""
    return None if isinstance(model, TokenModel) else "embedded numbers"


def by_operation(
    view: View, numbers: Callable[[TokenModel, ModularArithmetic, int], dict[str, Any]]
) -> dict[str, Tensor]:
    """Numbers of every operation of the table that is a group; none without a table."""
    model, table = view.subject.model, view.subject.train.table
    if table is None:
        return {}
    assert isinstance(model, TokenModel)
    several = len(table.operations) > 1
    return {
        f"{name}/{table.operations[place]}" if several else name: torch.tensor(float(value), dtype=torch.float64)
        for place in _groups(table)
        for name, value in numbers(model, table, place).items()
    }


def _groups(table: ModularArithmetic) -> Iterator[int]:
    for place, operation in enumerate(table.operations):
        try:
            group_order(table.p, operation)
        except ValueError:
            continue
        yield place
