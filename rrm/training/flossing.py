"""Gradient flossing: training the Lyapunov exponents of the rollout themselves (Engelken, arXiv 2312.17306).

A flossing step takes the leading exponents of a few puzzles' rollouts and moves the weights down the gradient of a
penalty on them. Steps come in *episodes* that touch nothing but the exponents: before training (pre-flossing), in the
course of it (interleaved), or both.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from torch import Tensor

from rrm.errors import InputError
from rrm.training.part import chosen


def two_sided(excess: Tensor) -> Tensor:
    """Mean over i <= k of (lambda_i - target)^2: the paper's loss, which also raises exponents below the target."""
    return excess.square().mean(-1)


def leading(excess: Tensor) -> Tensor:
    """max(0, lambda_1 - target)^2, lambda_1 that of the first tangent: one-sided, for the leading exponent."""
    return excess[..., 0].relu().square()


def spectrum(excess: Tensor) -> Tensor:
    """Mean over i <= k of max(0, lambda_i - target)^2: one-sided, for each exponent."""
    return excess.relu().square().mean(-1)


def volume(excess: Tensor) -> Tensor:
    """max(0, (lambda_1 + ... + lambda_k) / k - target)^2: one-sided, for the growth of k-volumes, per tangent."""
    return excess.mean(-1).relu().square()


# From lambda_i - target [..., k], in nats per call, to a loss a row [...].
PENALTIES: dict[str, Callable[[Tensor], Tensor]] = {
    "two_sided": two_sided, "leading": leading, "spectrum": spectrum, "volume": volume
}  # fmt: skip
_CHOICES = {"penalty": tuple(PENALTIES), "examples": ("all", "failed"), "parameters": ("recurrent", "all")}
_POSITIVE = ("k", "segments", "steps", "batch_size", "lr", "every")


@dataclass(frozen=True)
class Flossing:
    """Settings of gradient flossing. Plain values, named as in the paper where it has the name.

    Schedule: an episode of `steps` flossing steps (E_p, E_i) before training if `pre`, and one after every `every`
    training steps (E_f), at most `episodes` times (N_i).

    Loss: `penalty` (see `PENALTIES`) on the `k` leading exponents around `target` (nats per call), averaged over rows:
    over all of the batch, or over those whose answer at the end of the rollout is wrong (`examples` "failed"; a batch
    without one makes no step). `weighted` weighs rows by their task loss at the end of the rollout, without gradient.

    Window: the first `segments` segments of a rollout, or if `late` the last ones of a rollout of the depth that
    training uses; a longer window is cut to that depth. The first `transient` calls of the window only align the basis;
    the gradient runs through them too. Puzzles are drawn as in training, `batch_size` a step.

    Update: AdamW at a constant `lr` (betas .9 and .999, no weight decay), with moments of its own, on the blocks that
    are called again and again (`parameters` "recurrent"), or on "all" that the exponents depend on: the input embedding
    too, as in the paper, and with it the output layer of an SRM, whose weights are those of the embedding.
    """

    pre: bool = False
    every: int | None = None
    episodes: int = 0
    steps: int = 50
    penalty: str = "two_sided"
    target: float = 0.0
    k: int = 4
    segments: int = 2
    late: bool = False
    transient: int = 3
    examples: str = "all"
    weighted: bool = False
    batch_size: int = 2
    lr: float = 1e-3
    parameters: str = "recurrent"

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise InputError(f"flossing {name} {getattr(self, name)!r} is unknown: use one of {', '.join(allowed)}")
        for name in _POSITIVE:
            if getattr(self, name) is not None and not getattr(self, name) > 0:
                raise InputError(f"flossing {name} is {getattr(self, name)}: it must be positive")
        if self.transient < 0 or self.episodes < 0:
            raise InputError(f"flossing transient is {self.transient}, episodes {self.episodes}: use 0 or more")
        if (self.every is None) != (self.episodes == 0) or not (self.pre or self.episodes):
            raise InputError(
                f"flossing has pre = {self.pre}, every = {self.every}, episodes = {self.episodes}: without an episode "
                "it does nothing; set pre, or every and episodes together"
            )

    def episodes_at(self, total_steps: int) -> list[int]:
        """The training steps (done so far) before whose successor an episode comes, in a training of `total_steps`."""
        later = range(self.every, total_steps, self.every)[: self.episodes] if self.every else ()
        return [*([0] if self.pre else []), *later]

    def window(self, depth: int, calls: int) -> tuple[int, int]:
        """(first call, number of calls) of the window in a rollout of `depth` segments of `calls` calls."""
        length = min(self.segments, depth) * calls
        if self.transient >= length:
            raise InputError(
                f"flossing transient is {self.transient}: the window has {length} calls, {self.segments} segments of a "
                f"rollout of {depth}; use 0 to {length - 1}, or more segments"
            )
        return (depth * calls - length if self.late else 0), length

    @property
    def needs_answer(self) -> bool:
        """Whether a flossing step has to run the rollout to its end first."""
        return self.examples == "failed" or self.weighted

    def units(self, depth: int, calls: int) -> int:
        """Call units of a flossing step, all its rows: a call is 1, its backward 2, and either again a tangent."""
        first, length = self.window(depth, calls)
        before = depth * calls if self.needs_answer else first
        return self.batch_size * (before + 3 * (1 + self.k) * length)


# The paper interleaves 2 episodes, 100 epochs apart, among 3,000, of as many steps as pre-flossing.
_INTER = Flossing(every=100, episodes=2)
FLOSSING: dict[str, Flossing | None] = {
    "none": None,
    # Engelken's: push exponents to zero from both sides, before training, during training, or both.
    "pre": Flossing(pre=True),
    "inter": _INTER,
    "pre_inter": replace(_INTER, pre=True),
    # One-sided: no penalty on negative exponents, so that rollouts may settle.
    "inter_leading": replace(_INTER, penalty="leading", k=1),
    "inter_spectrum": replace(_INTER, penalty="spectrum"),
    "inter_volume": replace(_INTER, penalty="volume"),
    # One-sided penalty on the last segments of wrongly answered puzzles, weighted by their task loss.
    "inter_late_failed": replace(_INTER, penalty="spectrum", late=True, examples="failed", weighted=True),
}


def flossing(schedule: str | Mapping[str, Any]) -> Flossing | None:
    """The settings of a flossing schedule, None for "none".

    `schedule` is the name of a preset, or {"preset": name, and the settings to change}.
    """
    given = {"preset": schedule} if isinstance(schedule, str) else schedule
    name = given.get("preset")
    changes: dict[str, Any] = {setting: value for setting, value in given.items() if setting != "preset"}
    preset = chosen(FLOSSING, "flossing schedule", name)
    allowed = [f.name for f in fields(Flossing)] if preset else []
    for setting in changes:
        if setting not in allowed:
            has = f"it has {', '.join(allowed)}" if allowed else "it has none"
            raise InputError(f"flossing schedule {name!r} has no setting {setting!r}: {has}")
    return replace(preset, **changes) if preset and changes else preset
