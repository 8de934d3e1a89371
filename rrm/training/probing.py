"""The hook that runs probes during a training, and stays within a share of its time."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rrm.errors import InputError
from rrm.probes import PRESETS, PROBES, Probe, Subject, View
from rrm.probes.adam import adam_atan2, adamw
from rrm.probes.view import Formula
from rrm.training.hook import Hook, HookSettings
from rrm.training.objective import Outcome
from rrm.training.optim import AdamATan2, OptimizerSettings
from rrm.training.part import Context, chosen
from rrm.training.source import SourceSettings

# How probes read the moments of an optimizer.
FORMULAS: dict[type[torch.optim.Optimizer], Formula] = {
    torch.optim.AdamW: adamw,
    torch.optim.Adam: adamw,
    AdamATan2: adam_atan2,
}


class Probing(Hook):
    """Numbers of probes as the series probe/PROBE/NUMBER of the curve file, measured by the first worker alone.

    probe/cost/share: the share of the time of the training, since it began or went on, that probes have taken.
    """

    def __init__(self, settings: "ProbingSettings", rows: int, seed: int, working: bool = True):
        super().__init__()
        self._settings, self._rows, self._seed, self._working = settings, rows, seed, working
        self._probes: dict[str, Probe] = {}
        self._stored: dict[str, Tensor] = {}
        self._gradients: list[Tensor] | None = None
        self._gradient_norms: Tensor | None = None
        self._measured = 0
        self._costs: dict[tuple[str, ...], float] = {}
        self._began = self._spent = 0.0

    def before_step(self, step: int) -> None:
        if self._working and not self._probes:
            self._began = time.perf_counter()
            with self._clock():
                self._begin(step)

    def after_backward(self, step: int) -> None:
        if self._working:
            with self._clock():
                parameters = self._subject.parameters.values()
                self._gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
                self._gradient_norms = torch.stack(torch._foreach_norm(self._gradients))

    def after_step(self, step: int, outcome: Outcome) -> dict[str, float] | None:
        if not self._working:
            return None
        row = None
        with self._clock():
            view = View(self._subject, step, self._gradients, self._gradient_norms)
            for probe in self._following:
                probe.after_step(view)
            if step % self._settings.every == 0 and self._affordable(due := self._due()):
                with self._subject.differentiating():
                    row = self._measure(view, due)
            if self._following:
                self._subject.remember()
            self._gradients = self._gradient_norms = None
        return row and row | {"probe/cost/share": self._share()}

    def tensors(self) -> dict[str, Tensor]:
        if not self._probes:
            return self._stored
        return {"measured": torch.tensor(self._measured)} | {
            f"{name}/{key}": value for name, probe in self._probes.items() for key, value in probe.tensors().items()
        }

    def load(self, tensors: Mapping[str, Tensor], records: list[dict[str, Any]]) -> None:
        super().load(tensors, records)
        self._stored = dict(tensors)

    def _begin(self, step: int) -> None:
        """Look at the weights before the first step, or at those of the checkpoint."""
        settings, training = self._settings, self.training
        model, optimizer = training.model, training.optimizer
        names = settings.fitting(model, optimizer)
        sides = [training.objective.probe_rows(self._rows, self._seed, held_out=held_out) for held_out in (False, True)]
        train, held_out = sides
        assert train is not None
        formula = FORMULAS.get(type(optimizer))
        self._subject = Subject(model, optimizer, train, held_out, formula, self._seed)
        self._probes = {name: PROBES[name]() for name in names}
        self._following = [probe for probe in self._probes.values() if probe.every_step]
        # Older checkpoints do not have it: probes did not take turns.
        self._measured = int(self._stored.get("measured", torch.tensor(step // settings.every)))
        view = View(self._subject, step)
        with self._subject.differentiating():
            for name, probe in self._probes.items():
                mine = {
                    key.removeprefix(f"{name}/"): value
                    for key, value in self._stored.items()
                    if key.startswith(f"{name}/")
                }
                if mine:
                    probe.load(view, mine)
                else:
                    probe.begin(view)
        self._stored = {}
        if self._following:
            self._subject.remember()

    def _due(self) -> tuple[str, ...]:
        """The probes of the next measurement: those that are named, or of a preset those that are not slow or at turn.

        Slow ones come at different measurements, for the first time after about half of their turns.
        """
        if self._settings.names:
            return tuple(self._probes)
        slow = [name for name, probe in self._probes.items() if probe.turns > 1]
        turn = {name: self._probes[name].turns // 2 - 1 - place for place, name in enumerate(slow)}
        return tuple(
            name
            for name, probe in self._probes.items()
            if probe.turns == 1 or (self._measured - turn[name]) % probe.turns == 0
        )

    def _measure(self, view: View, due: tuple[str, ...]) -> dict[str, float]:
        began = time.perf_counter()
        found = {
            f"probe/{name}/{number}": value
            for name in due
            for number, value in self._probes[name].measure(view).items()
        }
        # One transfer for all numbers: each by itself would keep an accelerator waiting.
        device = view.weights[0].device
        values = torch.stack([value.detach().double().to(device) for value in found.values()]).tolist()
        self._costs[due] = time.perf_counter() - began
        self._measured += 1
        return dict(zip(found, values, strict=True))

    def _affordable(self, due: tuple[str, ...]) -> bool:
        """Whether a measurement that costs what the last one of these probes did stays within the budget.

        The first one always does, unless others have used the budget up.
        """
        if self._settings.budget is None or not self._costs:
            return True
        trained = time.perf_counter() - self._began - self._spent
        return self._spent + self._costs.get(due, 0.0) <= self._settings.budget * trained

    def _share(self) -> float:
        """Seconds of probes for each second of training without them."""
        trained = time.perf_counter() - self._began - self._spent
        return self._spent / trained if trained > 0 else 0.0

    @contextmanager
    def _clock(self) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self._spent += time.perf_counter() - began


@dataclass(frozen=True)
class ProbingSettings(HookSettings):
    """The hook "probes".

    preset: of `rrm.probes.PRESETS`; of its probes those that the network and optimizer can have, slow ones in turns
    (`Probe.turns`).  names: of `rrm.probes.PROBES` instead, all of which have to be possible, at every measurement.
    every: steps from one measurement to the next.  budget: the most seconds of probes for each second of training, None
    for no bound: a measurement that would cost more waits for a later multiple of `every`.  rows: that probes look at
    on each side of the split, fewer where a batch has fewer; None for an eighth of a batch, from 8 to 128, since a
    Hessian-vector product of the whole batch costs two training steps.
    """

    preset: str | None = None
    names: tuple[str, ...] = ()
    every: int = 16
    budget: float | None = None
    rows: int | None = None

    def __post_init__(self) -> None:
        names = (self.names,) if isinstance(self.names, str) else tuple(self.names)
        if names and self.preset:
            raise InputError(f"probes have a preset {self.preset!r} and names {', '.join(names)}: give one of the two")
        for name in names:
            chosen(PROBES, "probe", name)
        object.__setattr__(self, "names", names)
        if not names:
            object.__setattr__(self, "preset", self.preset or "standard")
            chosen(PRESETS, "preset of probes", self.preset)
        for name, value in {"every": self.every, "rows": 1 if self.rows is None else self.rows}.items():
            if type(value) is not int or value < 1:
                raise InputError(f"{name} of the probes is {value!r}: use a whole number from 1")
        if self.budget is not None and not 0 < self.budget < float("inf"):
            raise InputError(
                f"budget of the probes is {self.budget!r}: use a share of the training time above 0, such as 0.1"
            )

    def build(self, context: Context) -> Probing:
        rows = self.rows or min(128, max(8, context.batch_size // 8))
        return Probing(self, min(rows, context.batch_size), context.seed, working=context.rank == 0)

    def check(self, model: nn.Module, optimizer: OptimizerSettings, source: SourceSettings) -> None:
        self.fitting(model, optimizer.build(model, 1.0, 0.0))

    def fitting(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> list[str]:
        """The probes of a training; InputError for a named one that it cannot have."""
        wanted = self.names or PRESETS[self.preset or "standard"]
        formula = FORMULAS.get(type(optimizer))
        lacks = {name: PROBES[name].lacking(model, formula) for name in wanted}
        for name in self.names:
            if lacks[name]:
                raise InputError(
                    f"probe {name!r} needs {lacks[name]}, and {type(model).__name__} under {type(optimizer).__name__} "
                    "has none: leave this probe out"
                )
        return [name for name in wanted if not lacks[name]]
