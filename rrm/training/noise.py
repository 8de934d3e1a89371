"""The noise of one training step: draw, add, measure."""

import copy

import torch
from torch import Tensor

from rrm.models.base import State
from rrm.models.noise import add_noise, gaussian, generator_on

FACTORS = "noise_factors"


class Noise:
    """What a perturbation does in one step to the states [R * rows, L, D] of R trajectories per puzzle.

    time: see `TrajectoryPerturbation`.  halves: the halves that get noise.  level: standard deviation of the noise,
    state units; 0 leaves the states as they are and draws nothing.  clean: the first `clean` rows get no noise.
    factors [rows, R']: multiplier of `level` for each of the R' perturbed trajectories; None means 1.  generator: of
    every draw.

    The noise is drawn and added in float32, and the sum stays float32 until a network call replaces the half: in
    bfloat16 a level below 3e-3 would be neither Gaussian nor of its nominal size. A bfloat16 call still rounds its
    input, the sum of state and puzzle, so a level of 1e-3 reaches the network two to four times as large (see
    analysis/perturbation_noise.py). Gradients treat the noise as a constant.
    """

    def __init__(
        self,
        *,
        time: str,
        halves: tuple[str, ...],
        level: float,
        clean: int,
        factors: Tensor | None,
        generator: torch.Generator,
    ):
        self._time, self._halves, self._level, self._clean = time, halves, level, clean
        self._generator = generator
        self._squares: dict[str, list[Tensor]] = {half: [] for half in State._fields}
        self._remembered: list[Tensor] | None = None
        self._again: list[Tensor] = []
        # Data that a row keeps from its refill on, beside its puzzle.
        self.drawn = {} if factors is None else {FACTORS: factors}
        self.follow(self.drawn)

    def follow(self, data: dict[str, Tensor]) -> None:
        """Use the factors that the rows have kept, instead of those just drawn."""
        self._factors = data[FACTORS].T.reshape(-1, 1, 1) if FACTORS in data else None

    def start(self, state: State) -> State:
        """The initial state, with its noise."""
        return self._move(state, State._fields) if self._time == "initial_state" else state

    def segment(self, state: State) -> State:
        """The state at the start of a segment, with its noise."""
        return self._move(state, State._fields) if self._time == "every_segment" else state

    def call(self, half: str, state: State) -> State:
        """The state after a call of `half` ("H" or "L"), with its noise."""
        return self._move(state, (f"z_{half}",)) if self._time == "every_call" else state

    def remember(self) -> None:
        """Keep what is drawn from now on."""
        self._remembered = []

    def of(self, rows: Tensor) -> "Noise":
        """The noise of some rows [B'] int64: first the draws that were kept, in their order, and then new ones."""
        mine, perturbed = copy.copy(self), (rows - self._clean).clamp_min(0)
        factors = 1.0 if self._factors is None else self._factors[perturbed]
        mine._clean, mine._factors = 0, (rows >= self._clean).view(-1, 1, 1) * factors
        mine._again = [draw[perturbed] for draw in self._remembered or ()]
        mine._remembered, mine._squares = None, {half: [] for half in State._fields}
        return mine

    def realised(self) -> dict[str, Tensor]:
        """RMS of the noise on perturbed trajectories in this step, over both halves and by half; 0 without noise."""
        squares = {half: torch.stack(made).mean() for half, made in self._squares.items() if made}
        total = torch.stack([*squares.values()]).mean().sqrt() if squares else torch.zeros(())
        by_half = {f"realised_sigma_{half}": squares.get(half, torch.zeros(())).sqrt() for half in State._fields}
        return {"realised_sigma": total, **by_half}

    def _move(self, state: State, halves: tuple[str, ...]) -> State:
        if self._level == 0:
            return state
        moved = {half: self._moved(half, getattr(state, half)) for half in halves if half in self._halves}
        return state._replace(**moved)

    def _moved(self, half: str, values: Tensor) -> Tensor:
        wide = values.to(torch.promote_types(values.dtype, torch.float32))
        still = wide[self._clean :]
        self._generator = generator_on(still.device, self._generator)
        scale = self._level if self._factors is None else self._level * self._factors.to(still)
        noise = self._again.pop(0) if self._again else gaussian(still.shape, self._generator).to(still)
        if self._remembered is not None:
            self._remembered.append(noise)
        moved = add_noise(still, scale, noise)
        self._squares[half].append((moved.detach() - still.detach()).square().mean())
        return torch.cat((wide[: self._clean], moved)) if self._clean else moved
