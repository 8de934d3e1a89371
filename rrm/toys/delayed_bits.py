"""A random network that learns to carry bits over a delay.

    x(t+1) = J r(t) + b + w s(t),   r = tanh(x),   answer = readout of x

A network of one hidden layer, a binary input s and two tasks (Engelken, arXiv 2312.17306): give back the bit of `delay`
steps ago, or the exclusive or of the bits of `delay` and 2 `delay` steps ago.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rrm.dynamics import CallableMap
from rrm.training.objective import Carry, Objective, ObjectiveSettings, Outcome
from rrm.training.part import Context, Loss
from rrm.training.source import Source, SourceSettings


def delayed_copy(bits: Tensor, delay: int) -> tuple[Tensor, int]:
    """(target [T, B], first step that has one) of bits [T, B]: s(t - delay)."""
    return bits.roll(delay, 0), delay


def delayed_xor(bits: Tensor, delay: int) -> tuple[Tensor, int]:
    """(target [T, B], first step that has one) of bits [T, B]: s(t - delay) xor s(t - 2 delay)."""
    return (bits.roll(delay, 0) - bits.roll(2 * delay, 0)).abs(), 2 * delay


TASKS: dict[str, Callable[[Tensor, int], tuple[Tensor, int]]] = {"copy": delayed_copy, "xor": delayed_xor}


def binary_cross_entropy(logits: Tensor, bits: Tensor) -> Tensor:
    """Nats a bit, of the logits of a one."""
    return F.binary_cross_entropy_with_logits(logits, bits, reduction="none")


class TanhNetwork(nn.Module):
    """x(t+1) = J tanh(x(t)) + b + w s(t) with a linear readout of x; float64.

    J is Gaussian of spread gain / sqrt(N), b uniform in (0, 0.1), w and the readout standard normal. The start state,
    trained too, is where 100 steps without input lead from a random state.
    """

    def __init__(self, units: int, gain: float, seed: int):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        self.J = nn.Parameter(gain * normal(units, units) / units**0.5)
        self.b = nn.Parameter(0.1 * torch.rand(units, generator=generator, dtype=torch.float64))
        self.w = nn.Parameter(normal(units))
        self.readout = nn.Parameter(normal(units))
        self.offset = nn.Parameter(torch.full((), 0.001, dtype=torch.float64))
        x = normal(units)
        with torch.no_grad():
            for _ in range(100):
                x = self.J @ x.tanh() + self.b
        self.start = nn.Parameter(x)

    def drive(self, bits: Tensor) -> Tensor:
        """b + w s(t) for bits [T, B]: [T, B, N]."""
        return self.b + bits.unsqueeze(-1) * self.w

    def forward(self, bits: Tensor) -> Tensor:
        """The logit of the answer [T, B] after each of the bits [T, B]."""
        r, J_T, visited = self.start.tanh().expand(bits.shape[1], -1), self.J.T, []
        for drive in self.drive(bits):
            x = torch.addmm(drive, r, J_T)
            r = x.tanh()
            visited.append(x)
        return torch.stack(visited) @ self.readout + self.offset

    def orbit(self, bits: Tensor) -> CallableMap:
        """The map of r, the state after the non-linearity, under bits [T, B]; differentiable to the weights."""
        drive, J_T = self.drive(bits), self.J.T
        start = self.start.tanh().expand(bits.shape[1], -1)
        return CallableMap(lambda t, r: torch.tanh(r @ J_T + drive[t]), start)

    @property
    def recurrent(self) -> dict[str, nn.Parameter]:
        """The parameters that flossing moves: not those of the readout and the start."""
        return {"J": self.J, "b": self.b, "w": self.w}


def random_bits(length: int, batch: int, generator: torch.Generator) -> Tensor:
    """The next bits [T, B] of a generator, float64."""
    return torch.randint(0, 2, (length, batch), generator=generator).double()


class RandomBits:
    """Random bits [T, B], draw after draw from one generator; draw n is the same whenever it is asked for."""

    def __init__(self, length: int, batch: int, seed: int):
        self._shape, self._seed = (length, batch), seed
        self._restart()

    def __call__(self, n: int) -> Tensor:
        if n + 1 < self._drawn:
            self._restart()
        while self._drawn <= n:
            self._last = random_bits(*self._shape, self._generator)
            self._drawn += 1
        return self._last

    def _restart(self) -> None:
        self._generator, self._drawn = torch.Generator().manual_seed(self._seed), 0


class BitSource(Source):
    """Fresh bits in every step: "bits" [B, T], and "rows" [B], which number the sequences since the first step."""

    def __init__(self, length: int, batch: int, seed: int):
        self._bits, self._batch = RandomBits(length, batch, seed), batch

    def batch(self, step: int) -> dict[str, Tensor]:
        return {"bits": self._bits(step).T, "rows": torch.arange(self._batch) + step * self._batch}


@dataclass(frozen=True)
class BitSourceSettings(SourceSettings):
    """length: T."""

    length: int = 300

    def build(self, context: Context) -> BitSource:
        return BitSource(self.length, context.batch_size, 3 * context.seed)


class DelayedBits(Objective):
    """The loss of the answers from the first step on that has a target, averaged over steps and rows."""

    ranking: ClassVar[tuple[str, ...]] = ("accuracy",)
    model: TanhNetwork

    def __init__(self, model: TanhNetwork, settings: "DelayedBitsSettings", loss: Loss, test: Tensor):
        super().__init__(model)
        self.settings, self.loss, self._test = settings, loss, test

    def forward(
        self, carry: Carry, batch: Mapping[str, Tensor], generator: torch.Generator
    ) -> tuple[Tensor, Carry, Outcome]:
        logits, target = self.answer(self.model, batch["bits"].T.contiguous())
        loss = F.binary_cross_entropy_with_logits(logits, target)
        right = (logits > 0) == target.bool()
        by_row = {"row": batch["rows"], "loss": self.loss(logits.detach(), target).mean(0), "solved": right.all(0)}
        by_row["halted"] = torch.ones_like(by_row["solved"])
        return loss, carry, Outcome({"accuracy": right.double().mean()}, by_row)

    def answer(self, network: nn.Module, bits: Tensor) -> tuple[Tensor, Tensor]:
        """(logits, target), each [steps that have a target, B], of bits [T, B]."""
        target, first = TASKS[self.settings.task](bits, self.settings.delay)
        return network(bits)[first:], target[first:]

    @torch.no_grad()
    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """accuracy: share of right bits among fresh ones."""
        logits, target = self.answer(model, self._test)
        return {"accuracy": ((logits > 0) == target.bool()).double().mean().item()}

    def metrics(self, sums: Mapping[str, float]) -> dict[str, float]:
        return {"train/accuracy": sums["accuracy"] / sums["steps"]}

    def how_to_run(self) -> dict[str, Any]:
        return {"model": {"family": "tanh", "units": len(self.model.b)}}


@dataclass(frozen=True)
class DelayedBitsSettings(ObjectiveSettings):
    """task: a name in TASKS.  delay: of the task.  length: T, of training and test sequences."""

    task: str = "xor"
    delay: int = 10
    length: int = 300

    def build(self, context: Context) -> DelayedBits:
        assert isinstance(context.model, TanhNetwork)
        test = RandomBits(self.length, 16 * context.batch_size, 3 * context.seed + 2)
        return DelayedBits(context.model, self, context.loss, test(0))

    def units(self, model: nn.Module, description: Mapping[str, Any], step: int, total_steps: int) -> float:
        return 3 * self.length
