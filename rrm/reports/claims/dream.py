"""Claims on the dream loop: what a model learns from its own attempts."""

from rrm.reports.claims.claim import Claim
from rrm.reports.claims.training import instead, over

# Names of the arms (`rrm.studies.claim_dream`). The loop that comes "again" has one round less of more puzzles.
TRUE, NOISY, FILTERED, FILTERED_AGAIN = "true labels", "noise, true labels", "filtered", "filtered again"
UNFILTERED, WRONG, P, FRESH, GRAPH = "unfiltered", "10 % false", "p(1-p)", "fresh", "graph"

_PART = "dream"


def _claim(name: str, words: str, arm: str, other: str, stand_in: str) -> Claim:
    """The claim that an arm beats another one; `stand_in` is the other one in all that matters."""
    return Claim(
        name=f"dream/{name}",
        words=words,
        test=f"peak of {arm} minus that of {other}",
        evidence=_PART,
        effect=over(arm, other, _PART),
        smallest=0.02,
        control=instead(arm, stand_in, _PART),
        unit="points",
    )


DREAM = (
    _claim(
        "loop", "attempts at unlabelled puzzles that pass the rules teach more than true labels of a few puzzles",
        FILTERED, TRUE, TRUE,
    ),
    _claim(
        "noise", "the loop teaches more than noise with true labels does", FILTERED, NOISY, NOISY
    ),
    _claim("filter", "what the filter leaves out is worth leaving out", FILTERED, UNFILTERED, UNFILTERED),
    _claim("wrong", "a loop whose verifier lets 10 % of wrong answers in is worse", FILTERED, WRONG, WRONG),
    _claim("half_solved", "a loop that prefers half solved puzzles, p(1-p), is better", P, FILTERED, FILTERED_AGAIN),
    _claim("graph", "walks in the puzzle graph give better puzzles than the generator", GRAPH, FRESH, FRESH),
)  # fmt: skip
