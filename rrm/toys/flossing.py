"""The experiment that gradient flossing was published with: a random network learns to carry bits over a delay.

    x(t+1) = J r(t) + b + w s(t),   r = tanh(x),   answer = readout of x

A network of one hidden layer, a binary input s and two tasks (Engelken, arXiv 2312.17306): give back the bit of `delay`
steps ago, or the exclusive or of the bits of `delay` and 2 `delay` steps ago. Flossing takes the exponents of the map
that is executed, r -> tanh(J r + b + w s), by automatic differentiation of that very step.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rrm.dynamics import CallableMap, window_exponents
from rrm.dynamics.lyapunov import factorizations, start_basis
from rrm.dynamics.singular_values import singular_value_ftle
from rrm.errors import InputError
from rrm.training.flossing import PENALTIES


def delayed_copy(bits: Tensor, delay: int) -> tuple[Tensor, int]:
    """(target [T, B], first step that has one) of bits [T, B]: s(t - delay)."""
    return bits.roll(delay, 0), delay


def delayed_xor(bits: Tensor, delay: int) -> tuple[Tensor, int]:
    """(target [T, B], first step that has one) of bits [T, B]: s(t - delay) xor s(t - 2 delay)."""
    return (bits.roll(delay, 0) - bits.roll(2 * delay, 0)).abs(), 2 * delay


TASKS: dict[str, Callable[[Tensor, int], tuple[Tensor, int]]] = {"copy": delayed_copy, "xor": delayed_xor}


SCHEDULES = ("none", "pre", "inter", "pre_inter")


@dataclass(frozen=True)
class ToySettings:
    """Settings of one arm, those of the paper's code by default.

    task: name in `TASKS`.  units: N.  gain: g, of J = g N(0, 1) / sqrt(N).  delay, length (T) and batch of the task.
    budget: training steps of an arm without flossing; what flossing costs is taken off, so that arms are equal in
    network calls.  lr, clip: of AdamW and of the gradient norm of each parameter in training.
    schedule: flossing "none", "pre", "inter" or "pre_inter".  steps: of an episode (E_p, E_i).  every, episodes: one
    after every `every` training steps (E_f), at most `episodes` (N_i).  k: exponents.  window, transient: steps of the
    orbit that flossing sees, and how many of them only align the basis.  penalty, target: see `rrm.training.flossing`.
    """

    task: str = "xor"
    units: int = 80
    gain: float = 1.0
    delay: int = 10
    length: int = 300
    batch: int = 16
    budget: int = 3001
    lr: float = 1e-3
    clip: float = 0.03
    schedule: str = "none"
    steps: int = 500
    every: int = 100
    episodes: int = 2
    k: int = 75
    window: int = 55
    transient: int = 16
    penalty: str = "two_sided"
    target: float = 0.0

    def __post_init__(self):
        for name, allowed in {"task": TASKS, "schedule": SCHEDULES, "penalty": PENALTIES}.items():
            if getattr(self, name) not in allowed:
                raise InputError(f"{name} {getattr(self, name)!r} is unknown: use one of {', '.join(allowed)}")
        if not 1 <= self.k <= self.units:
            raise InputError(f"k is {self.k}: a network of {self.units} units has 1 to {self.units} exponents")
        if self.length <= 2 * self.delay:
            raise InputError(f"length is {self.length}: a delay of {self.delay} needs more than {2 * self.delay}")
        if self.epochs <= self.every * self.episodes * ("inter" in self.schedule):
            raise InputError(f"budget {self.budget} leaves {self.epochs} training steps beside flossing: raise it")

    @property
    def episode_epochs(self) -> list[int]:
        """The training steps (done so far) after which an episode comes."""
        inter = [self.every * (n + 1) for n in range(self.episodes)] if "inter" in self.schedule else []
        return [0] * ("pre" in self.schedule) + inter

    @property
    def episode_cost(self) -> float:
        """An episode in training steps: each of its steps is (1 + k) forward-backward passes of one row."""
        return self.steps * (1 + self.k) * self.window / (self.batch * self.length)

    @property
    def epochs(self) -> int:
        """Training steps that are left of the budget."""
        return self.budget - math.ceil(len(self.episode_epochs) * self.episode_cost)

    def spent(self) -> list[float]:
        """What of the budget is used up before each training step."""
        return [e + self.episode_cost * sum(at <= e for at in self.episode_epochs) for e in range(self.epochs)]


# The paper's setting takes several minutes a seed and arm on one thread, the small one about half a minute.
PRESETS = {
    "small": ToySettings(units=40, length=80, budget=1500, steps=150, k=30, window=40, transient=12),
    "paper": ToySettings(),
}


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
    def recurrent(self) -> list[nn.Parameter]:
        """What flossing moves: not the readout and not the start."""
        return [self.J, self.b, self.w]


@dataclass(frozen=True)
class Conditioning:
    """How well a network carries gradients.

    exponents: the spectrum, N in nats per step, over a window of the orbit.
    log10_condition, log10_condition_k, log10_largest: of the singular values of the Jacobian over 2 `delay` steps,
    largest over smallest, largest over the k-th, as many as are flossed, and the largest itself.
    gradient_norm: of the task loss in J.
    """

    exponents: list[float]
    log10_condition: float
    log10_condition_k: float
    log10_largest: float
    gradient_norm: float


@dataclass(frozen=True)
class ToyRun:
    """One training run of one seed.

    accuracy: share of right bits in each training step, before its update.  final: on fresh bits after training.
    seconds: it took.
    conditioning: by moment, "initial", "flossed" (only where there was pre-flossing) and "trained".
    """

    accuracy: list[float]
    final: float
    seconds: float
    conditioning: dict[str, Conditioning]


def train_toy(settings: ToySettings, seed: int) -> ToyRun:
    """Train one network; `seed` decides its start and its bits, alike in all arms."""
    s, started = settings, time.perf_counter()
    network = TanhNetwork(s.units, s.gain, seed)
    training, flossing = (
        torch.optim.AdamW(parameters, lr=s.lr, weight_decay=0.0)
        for parameters in (list(network.parameters()), network.recurrent)
    )
    # Of their own, so that all arms meet the same bits in training.
    to_train, to_floss, to_test = (torch.Generator().manual_seed(3 * seed + n) for n in range(3))
    conditioning = {"initial": _conditioning(network, s)}
    accuracy = []
    for epoch in range(s.epochs):
        if epoch in s.episode_epochs:
            _floss(network, flossing, s, to_floss)
            if epoch == 0:
                conditioning["flossed"] = _conditioning(network, s)
        loss, right = _task_loss(network, s, _bits(s.length, s.batch, to_train))
        accuracy.append(right)
        loss.backward()
        for parameter in network.parameters():
            nn.utils.clip_grad_norm_([parameter], s.clip)
        training.step()
        training.zero_grad()
    conditioning["trained"] = _conditioning(network, s)
    with torch.no_grad():
        _, final = _task_loss(network, s, _bits(s.length, 16 * s.batch, to_test))
    return ToyRun(accuracy, final, time.perf_counter() - started, conditioning)


def _bits(length: int, batch: int, generator: torch.Generator) -> Tensor:
    return torch.randint(0, 2, (length, batch), generator=generator).double()


def _task_loss(network: TanhNetwork, s: ToySettings, bits: Tensor) -> tuple[Tensor, float]:
    """(cross-entropy in nats a bit, share of right bits)."""
    target, first = TASKS[s.task](bits, s.delay)
    logits, target = network(bits)[first:], target[first:]
    loss = F.binary_cross_entropy_with_logits(logits, target)
    return loss, ((logits > 0) == target.bool()).double().mean().item()


def _floss(network: TanhNetwork, optimizer: torch.optim.Optimizer, s: ToySettings, generator: torch.Generator) -> None:
    """An episode: one orbit under fresh bits a step."""
    for _ in range(s.steps):
        orbit = network.orbit(_bits(s.window, 1, generator))
        exponents = window_exponents(orbit, s.k, s.window, transient=s.transient)
        PENALTIES[s.penalty](exponents - s.target).mean().backward()
        optimizer.step()
        optimizer.zero_grad()


def _conditioning(network: TanhNetwork, s: ToySettings) -> Conditioning:
    generator = torch.Generator().manual_seed(0)  # always the same bits
    loss, _ = _task_loss(network, s, _bits(s.length, s.batch, generator))
    (gradient,) = torch.autograd.grad(loss, [network.J])
    span = 2 * s.delay
    with torch.no_grad():
        orbit = network.orbit(_bits(s.window + span, 1, generator))
        basis = start_basis(orbit.start(), s.units, seed=0)
        factors = [f for _, _, f in factorizations(orbit, basis, s.window + span)]
        logs = torch.stack([f.log_diagonal[0] for f in factors])[s.transient : s.window].mean(0)
        # All N tangents are carried, so the last factors are those of the Jacobian itself, but for rotations.
        singular = singular_value_ftle(torch.stack([f.R for f in factors[-span:]]))[0] * span / math.log(10)
    return Conditioning(
        exponents=logs.tolist(),
        log10_condition=(singular[0] - singular[-1]).item(),
        log10_condition_k=(singular[0] - singular[s.k - 1]).item(),
        log10_largest=singular[0].item(),
        gradient_norm=gradient.norm().item(),
    )
