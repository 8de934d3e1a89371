"""Claims on curricula: which puzzles a training should draw, and when."""

from rrm.reports.claims.claim import Claim
from rrm.reports.claims.training import instead, over

# Names of the arms (`rrm.studies.claim_curricula`); of some there is one with a quarter of the budget too. The two that
# come "again" draw the same puzzles in another order.
UNIFORM, UNIFORM_AGAIN, P, MIXED = "uniform", "uniform again", "p(1-p)", "mixed tiers"
RANDOM, RANDOM_AGAIN, EASY = "random pacing", "random pacing again", "easy to hard"

_PART = "curricula"


def quarter(arm: str) -> str:
    """The name of the arm with a quarter of the budget."""
    return f"{arm}, quarter"


CURRICULA = (
    Claim(
        name="curricula/easy_first/full",
        words="puzzles from easy to hard beat the same growth in random order",
        test="peak of easy to hard minus that of random pacing",
        evidence=_PART,
        effect=over(EASY, RANDOM, _PART),
        smallest=0.02,
        control=instead(EASY, RANDOM_AGAIN, _PART),
        unit="points",
    ),
    Claim(
        name="curricula/easy_first/quarter",
        words="puzzles from easy to hard beat the same growth in random order with a quarter of the calls",
        test="peak of easy to hard minus that of random pacing, a quarter of the budget",
        evidence=_PART,
        effect=over(quarter(EASY), quarter(RANDOM), _PART),
        smallest=0.02,
        control=instead(quarter(EASY), quarter(RANDOM_AGAIN), _PART),
        unit="points",
    ),
    Claim(
        name="curricula/half_solved",
        words="puzzles that half of the attempts solve are the best diet (p(1-p), attempts paid for)",
        test="peak of p(1-p) minus that of uniform",
        evidence=_PART,
        effect=over(P, UNIFORM, _PART),
        smallest=0.02,
        control=instead(P, UNIFORM_AGAIN, _PART),
        unit="points",
    ),
    Claim(
        name="curricula/diversity",
        words="diversity beats order: mixed tiers against puzzles from easy to hard",
        test="peak of mixed tiers minus that of easy to hard",
        evidence=_PART,
        effect=over(MIXED, EASY, _PART),
        smallest=0.02,
        unit="points",
    ),
)
