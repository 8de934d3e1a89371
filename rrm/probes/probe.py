"""The contract of a probe: numbers about a training at a step, which change nothing in it."""

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn

from rrm.probes.view import Formula, View


class Probe:
    """A quantity, or a few that come from one computation.

    The file of each probe says the formula, the unit, the source and the cost, in training steps of the benchmark
    `tests/benchmarks/probes.py`. A probe may keep what saves it work at the next call, such as an eigenvector.

    name: of the registry; its numbers are the series probe/NAME/NUMBER.
    every_step: whether `after_step` has work, or the weights before each step have to be kept.
    turns: in a preset this probe has one of so many measurements, so that slow probes take turns.
    """

    name: ClassVar[str]
    every_step: ClassVar[bool] = False
    turns: ClassVar[int] = 1

    @classmethod
    def lacking(cls, model: nn.Module, formula: Formula | None) -> str | None:
        """What this probe needs and a training does not have, in words such as "heads"; None where it can be measured.

        formula: of the optimizer, as `Subject` has it.
        """
        return None

    def begin(self, view: View) -> None:
        """Before the first step of a training that is not resumed."""

    def after_step(self, view: View) -> None:
        """Take down what happened in the last step, on the device, without waiting for a number."""

    def measure(self, view: View) -> dict[str, Tensor]:
        """The numbers, scalars without gradient, at the present weights."""
        raise NotImplementedError

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint keeps, so that the series go on after a resumption."""
        return {}

    def load(self, view: View, tensors: Mapping[str, Tensor]) -> None:
        """Carry on from the `tensors` of another probe, at the weights of that time."""
