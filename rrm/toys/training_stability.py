"""How fast nearby trainings go apart while a small network learns modular addition by heart and then generalises.

A tangent of the optimizer's map is carried along (`rrm.dynamics.training_map`), in float64 and full batch. The
arms of a seed share network, pairs and start tangent; they differ in what could make the map expand:

- grokking: weight decay, true answers; generalises late.
- shuffled answers: the same answers in another order, so that there is nothing to generalise to. The null: loss, decay
  and network are those of the grokking arm.
- no decay: learns by heart alone.
- decay off: the grokking arm whose decay ends on the plateau, so that both maps are compared from the very same state.
"""

import math
import time
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import jvp

from rrm.dynamics.lyapunov import factorizations
from rrm.dynamics.training_map import (
    AdamWRule,
    TrainingMap,
    flat_weights,
    fresh_state,
    twin_beside_tangent,
    with_weights,
)
from rrm.errors import InputError
from rrm.models.precision import measurement
from rrm.models.token_mlp import TokenMLP, TokenMLPConfig
from rrm.statistics.fourier import embedding_power, gini
from rrm.tasks.modular import ModularArithmetic

# The norms that tangents are measured in: `function` is the change of the logits of all pairs, less their mean.
NORMS = ("state", "weights", "update", "function")


@dataclass(frozen=True, kw_only=True)
class StabilitySetting:
    """What the arms of a study have in common.

    Attributes:
        p, train_share: of the addition table; (a, b) and (b, a) are on one side of the split.
        hidden_size, mlp_size, activation: of the `TokenMLP`.
        lr, weight_decay, betas, warmup: of AdamW.
        steps, every: of a training, and between two rows of its curves.
        window: steps between which a tangent is carried along; only the arm `grokking` goes on after it.
        settle: steps at the start of the window that are left out of the rates, because the tangent starts in a random
            direction and turns as slowly as it grows. A tangent from step 200 on still grew at half of the rate or less
            in the steps 250 to 600, and at an eighth in the arm without decay: begin at step 0, whose growth is fast.
        plateau: step in the window at which the arm `decay off` ends its decay and the twin starts.
        twin_steps: that the twin is followed.
    """

    p: int = 31
    train_share: float = 0.6
    hidden_size: int = 32
    mlp_size: int = 128
    activation: str = "gelu"
    lr: float = 3e-3
    weight_decay: float = 1.0
    betas: tuple[float, float] = (0.9, 0.98)
    warmup: int = 10
    steps: int = 1700
    every: int = 25
    window: tuple[int, int] = (0, 600)
    settle: int = 250
    plateau: int = 300
    twin_steps: int = 50


@dataclass(frozen=True, kw_only=True)
class Arm:
    """decay: whether the weights decay.  until_plateau: and no longer than that.  shuffled: the answers are."""

    decay: bool = True
    until_plateau: bool = False
    shuffled: bool = False


ARMS = {
    "grokking": Arm(),
    "shuffled answers": Arm(shuffled=True),
    "no decay": Arm(decay=False),
    "decay off": Arm(until_plateau=True),
}


@dataclass(frozen=True)
class StabilityRun:
    """One training with its tangent.

    Attributes:
        arm, seed: of the training.
        setting: a `StabilitySetting` as plain values.
        curves: by name the value at every row. `step`; `train/loss`, `train/accuracy`, `test/loss`, `test/accuracy`;
            `weight_norm`; `gini` of the Fourier power of the embedding; `growth/<norm>`, the logarithm of the growth of
            the tangent since the window began, nats; nan outside of the window.
        twin, tangent: growth rate of twin and tangent over the steps after the plateau step in which the twin does not
            jump, nats per step; nan where it jumps in all of them.
        jumps: how many steps the twin jumped in.
        cpu_seconds: of the run.
    """

    arm: str
    seed: int
    setting: dict[str, Any]
    curves: dict[str, list[float]]
    twin: float
    tangent: float
    jumps: int
    cpu_seconds: float


@measurement()
def measure_training(arm: str, seed: int, setting: StabilitySetting) -> StabilityRun:
    """Train one arm from `seed` and carry a tangent along in the window of the setting.

    Raises:
        InputError: `arm` is not in ARMS; a setting that leaves no row, table, network or rule.
    """
    if arm not in ARMS:
        raise InputError(f"arm {arm!r} is unknown: use some of {', '.join(ARMS)}")
    begin, end = setting.window
    first = max(setting.plateau, begin + setting.settle)
    if not (0 <= begin < setting.plateau and first + setting.every < end <= setting.steps):
        raise InputError(
            f"window {begin} {end} is out of place: it must begin before step {setting.plateau}, go on beyond step "
            f"{first + setting.every} and end by step {setting.steps}"
        )
    began = time.process_time()
    journal, curves = _Journal(seed, setting, ARMS[arm].shuffled), dict[str, list[float]]()

    def write(step: int, z: Tensor, grown: dict[str, float]) -> None:
        row = {"step": step} | journal.row(z) | {f"growth/{name}": grown.get(name, math.nan) for name in NORMS}
        for name, value in row.items():
            curves.setdefault(name, []).append(value)

    def alone(system: TrainingMap, last: int) -> Tensor:
        """The state after `last` steps, without a tangent."""
        z = system.start()
        for step in range(system.first, last):
            z = system.step(step - system.first, z)
            if (step + 1) % setting.every == 0:
                write(step + 1, z, {})
        return z

    before, after = _rules(ARMS[arm], setting)
    z = alone(TrainingMap(journal.loss, before, fresh_state(flat_weights(journal.model), before)), begin)
    V, growth = _start_tangent(z, seed), 0.0
    for rule, first, last in ((before, begin, setting.plateau), (after, setting.plateau, end)):
        system = TrainingMap(journal.loss, rule, z, first)
        if first == setting.plateau:
            twin = twin_beside_tangent(system, V[:, 0], setting.twin_steps)
        for t, z, factors in factorizations(system, V, last - first):
            growth, V = growth + float(factors.log_diagonal), factors.Q
            if (first + t) % setting.every == 0:
                norms = system.norms(t, z, V) | {"function": journal.moved(z, V)}
                write(first + t, z, {name: growth + math.log(float(norms[name])) for name in NORMS})
    if arm == "grokking":
        alone(TrainingMap(journal.loss, after, z, end), setting.steps)
    between = ~twin.jumps
    rates = float(twin.twin[between].mean()), float(twin.tangent[between].mean())
    return StabilityRun(arm, seed, asdict(setting), curves, *rates, int(twin.jumps.sum()), time.process_time() - began)


def _rules(arm: Arm, setting: StabilitySetting) -> tuple[AdamWRule, AdamWRule]:
    """The optimizer before and after the plateau step."""
    decay = setting.weight_decay if arm.decay else 0.0
    rule = AdamWRule(lr=setting.lr, weight_decay=decay, betas=setting.betas, warmup=setting.warmup)
    return rule, replace(rule, weight_decay=0.0) if arm.until_plateau else rule


def _start_tangent(z: Tensor, seed: int) -> Tensor:
    """[1, 1, N], a random unit vector of the weights, the moments at rest."""
    n = z.shape[1] // 3
    V = torch.zeros(1, 1, 3 * n, dtype=torch.float64)
    V[..., :n] = torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return V / V.norm()


class _Journal:
    """Network and pairs of one seed: the training loss as a function of flat weights, and the numbers of a row."""

    def __init__(self, seed: int, setting: StabilitySetting, shuffled: bool):
        task = ModularArithmetic(setting.p, train_share=setting.train_share, data_seed=seed)
        torch.manual_seed(seed)
        self.model = TokenMLP(
            TokenMLPConfig(
                vocab_size=task.vocab_size,
                classes=task.classes,
                hidden_size=setting.hidden_size,
                mlp_size=setting.mlp_size,
                activation=setting.activation,
            )
        ).double()
        self.p = setting.p
        self.tokens, self.targets = torch.from_numpy(task.tokens), torch.from_numpy(task.targets)
        if shuffled:
            order = torch.randperm(len(self.targets), generator=torch.Generator().manual_seed(seed))
            self.targets = self.targets[order]
        self.train = torch.from_numpy(task.train)
        self._rows = self.tokens[self.train], self.targets[self.train]

    def loss(self, w: Tensor) -> Tensor:
        """Mean cross-entropy of the training pairs in nats, of flat weights [n]."""
        tokens, targets = self._rows
        return F.cross_entropy(with_weights(self.model, w, tokens), targets)

    def row(self, z: Tensor) -> dict[str, float]:
        """Losses, accuracies, weight norm and Gini coefficient at a state [1, N]."""
        w = z[0].chunk(3)[0]
        logits, found = with_weights(self.model, w, self.tokens), {}
        for name, side in (("train", self.train), ("test", ~self.train)):
            found[f"{name}/loss"] = float(F.cross_entropy(logits[side], self.targets[side]))
            found[f"{name}/accuracy"] = float((logits[side].argmax(1) == self.targets[side]).double().mean())
        embedding = w[: self.model.embedding.numel()].view_as(self.model.embedding)[: self.p]
        power = embedding_power(embedding.numpy(), "add")
        return found | {"weight_norm": float(w.norm()), "gini": gini(power)}

    def moved(self, z: Tensor, V: Tensor) -> Tensor:
        """Size [1, 1] of the change that a tangent [1, 1, N] makes of the logits of all pairs, less their mean."""
        w, dw = z[0].chunk(3)[0], V[0, 0].chunk(3)[0]
        change = jvp(lambda u: with_weights(self.model, u, self.tokens), (w,), (dw,))[1]
        return (change - change.mean(1, keepdim=True)).norm().view(1, 1)
