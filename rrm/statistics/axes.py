"""The axes of a search as plain values, and the sentence on their importance."""

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real

# Keys of a configuration that are no axis.
BESIDES = ("trial", "seed")

# An axis that spans more than this factor has a logarithmic scale.
DECADE = 10.0

# Fewest drawn trials for a statement on the axes that go with success: see `rrm.reports.importance`.
LEAST_DRAWN = 16


@dataclass(frozen=True)
class Axis:
    """One axis: a choice among `choices`, or a number in [low, high] where `choices` is empty."""

    name: str
    choices: tuple = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False


def axes_of(configs: Sequence[dict]) -> list[Axis]:
    """The axes along which `configs` differ, in the order of their keys; trial number and seed are none."""
    names = dict.fromkeys(name for config in configs for name in config if name not in BESIDES)
    return [axis for name in names if (axis := _axis(name, [c[name] for c in configs if name in c]))]


def _axis(name: str, values: list) -> Axis | None:
    different = tuple(dict.fromkeys(values))
    if len(different) < 2:
        return None
    if not all(isinstance(value, Real) and not isinstance(value, bool) for value in values):
        return Axis(name, different)
    low, high = min(values), max(values)
    return Axis(name, (), low, high, low > 0 and high > DECADE * low)


@dataclass(frozen=True)
class AxisImportance:
    """How far an axis goes with which trials are in the better half (`rrm.reports.importance`).

    Attributes:
        name: of the axis.
        importance: Pearson divergence of PED-ANOVA, not normalised.
        null_95: the importance that no axis exceeds in 95 % of the shuffles of the objective.
        p_value: share of the shuffles in which any axis stands out as much as this one; at most 0.05 where importance >
            null_95.
    """

    name: str
    importance: float
    null_95: float
    p_value: float

    @property
    def important(self) -> bool:
        """Whether the axis stands out from chance."""
        return self.importance > self.null_95


def importance_sentence(found: Sequence[AxisImportance], drawn: int, trials: int) -> str:
    """Which axes go with success among `drawn` trials with an objective, of the `trials` that the search ran in all.

    An association among trials that a sampler has chosen, with a p-value and without an interval: no cause.
    """
    if drawn < LEAST_DRAWN:
        return (
            f"{drawn} drawn trials are too few to say which axis goes with success: {LEAST_DRAWN} would do "
            f"(--trials {trials + LEAST_DRAWN - drawn})."
        )
    if not found:
        return f"No axis was varied among the {drawn} drawn trials."
    ranked = sorted(found, key=lambda axis: axis.p_value)
    told = [f"{axis.name} (importance {axis.importance:.2g}, chance up to {axis.null_95:.2g}, p = {axis.p_value:.2g})"
            for axis in ranked if axis.important]  # fmt: skip
    others = [axis.name for axis in ranked if not axis.important]
    top = f"which of {drawn} drawn trials came into the better half, measured from the baseline of their model type"
    if not told:
        nearest = f"{ranked[0].name}, p = {ranked[0].p_value:.2g}"
        return f"No axis stands out from chance in {top} (the nearest: {nearest}; shuffled objectives, all axes)."
    rest = f"; {', '.join(others)} cannot be told from chance" if others else ""
    goes = "goes" if len(told) == 1 else "go"
    return f"{' and '.join(told)} {goes} with {top}{rest} (shuffled objectives, all axes)."
