"""A claim of the study: its words, its evidence, its effect, and the smallest effect that counts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rrm.reports.claims.evidence import PARTS, Evidence

# The null of a claim as evidence: what the same code finds where there is nothing.
Control = Callable[[Evidence], Evidence]


@dataclass(frozen=True)
class Claim:
    """One row of the table. Shares and their differences are fractions.

    Attributes:
        name: short, for the names of metrics; the same in all versions of rrm.
        words: the claim, a sentence without its full stop.
        test: the effect in words, of which a larger one speaks for the claim.
        evidence: the part of the evidence that it needs, one of `rrm.reports.claims.evidence.PARTS`.
        effect: the effect by training seed; nan, or no entry, for a seed that says nothing.
        smallest: the smallest distance from `null` that counts, fixed before the measurement.
        null: the effect where there is nothing.
        control: evidence without the claimed effect, from the same measurements; it goes through `effect` as well.
        unit: of the effect; "%" and "points" print a hundred times it.
    """

    name: str
    words: str
    test: str
    evidence: str
    effect: Callable[[Evidence], Mapping[int, float]]
    smallest: float
    null: float = 0.0
    control: Control | None = None
    unit: str = ""

    def __post_init__(self) -> None:
        if self.evidence not in PARTS:
            raise ValueError(f"claim {self.name}: evidence {self.evidence!r} is none of {', '.join(PARTS)}")
        if not self.smallest > 0:
            raise ValueError(f"claim {self.name}: the smallest effect that counts is {self.smallest}, not above 0")

    @property
    def factor(self) -> float:
        """By which printed numbers differ from the effect."""
        return 100.0 if self.unit in ("%", "points") else 1.0
