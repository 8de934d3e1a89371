"""Claims on attention heads: whether a training changes few of them, and whether those carry what it brings."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import log, nan

from rrm.reports.claims.claim import Claim
from rrm.reports.claims.evidence import Evidence

# Metrics of a study of heads (`rrm.reports.heads`) without their first part. The study is of a baseline, against the
# arm with noise.
TOP, RANDOM = "lost/top_head_all_zero", "lost/random_head_all_zero"
# One random tenth, and the mean of all others.
DRAWN, OTHERS = "lost/drawn_head_all_zero", "lost/others_head_all_zero"
NEEDED = "lost/needed_head_all_zero"
CHANGE, BY_CHANCE, BY_NOISE = "divergence/initial", "divergence/other_order", "divergence/against"
RANK, RANK_OF_NOTHING = "rank/initial/attention/stable", "rank/random_labels/attention/stable"

Numbers = Mapping[str, float]


def by_seed(number: Callable[[Numbers], float]) -> Callable[[Evidence], dict[int, float]]:
    """A number of the study of each seed; nan where the study lacks a part of it."""

    def of_seed(found: Numbers) -> float:
        try:
            return number(found)
        except KeyError:
            return nan

    return lambda evidence: {seed: of_seed(found) for seed, found in evidence.heads.items()}


def instead(metric: str, stand_in: str) -> Callable[[Evidence], Evidence]:
    """The evidence with one metric in the place of another."""

    def control(found: Evidence) -> Evidence:
        changed = {seed: {**of, metric: of.get(stand_in, nan)} for seed, of in found.heads.items()}
        return replace(found, heads=changed)

    return control


HEADS: tuple[Claim, ...] = (
    Claim(
        name="heads/tenth_carries",
        words="the tenth of the heads that training changes most carries 80 % of what it brings",
        test="share of the gain in accuracy that is lost without these heads",
        evidence="heads",
        effect=by_seed(lambda of: of[TOP]),
        smallest=0.8,
        control=instead(TOP, RANDOM),
        unit="%",
    ),
    Claim(
        name="heads/few_carry",
        words="a tenth of the heads carries 80 % of what training brings, if those are taken that are missed most",
        test="share of the gain in accuracy that is lost without them, on puzzles that did not choose them",
        evidence="heads",
        effect=by_seed(lambda of: of[NEEDED]),
        smallest=0.8,
        control=instead(NEEDED, RANDOM),
        unit="%",
    ),
    Claim(
        name="heads/more_than_random",
        words="the heads that training changes most carry more than as many at random",
        test="share of the gain lost without these heads, minus the mean over random tenths; control: one of these",
        evidence="heads",
        effect=by_seed(lambda of: of[TOP] - of[OTHERS]),
        smallest=0.2,
        control=instead(TOP, DRAWN),
        unit="points",
    ),
    Claim(
        name="heads/beyond_chance",
        words="training changes heads far more than the order of the puzzles moves them",
        test="log of the divergence from the first weights over that between two orders",
        evidence="heads",
        effect=by_seed(lambda of: log(of[CHANGE] / of[BY_CHANCE])),
        smallest=log(2),
        control=instead(CHANGE, BY_CHANCE),
    ),
    Claim(
        name="heads/moved_by_noise",
        words="noise in training moves heads farther than another order does",
        test="log of the divergence from a training with noise over that between two orders",
        evidence="heads",
        effect=by_seed(lambda of: log(of[BY_NOISE] / of[BY_CHANCE])),
        smallest=log(1.25),
        control=instead(BY_NOISE, BY_CHANCE),
    ),
    Claim(
        name="heads/concentrated",
        words="the change of heads is concentrated",
        test="Gini coefficient of the divergence over heads",
        evidence="heads",
        effect=by_seed(lambda of: of["gini"]),
        smallest=0.3,
    ),
    Claim(
        name="heads/low_rank",
        words="what is learned changes attention in fewer directions than random labels do",
        test="log of the stable rank of the changes with random labels over that of the training",
        evidence="heads",
        effect=by_seed(lambda of: log(of[RANK_OF_NOTHING] / of[RANK])),
        smallest=log(1.25),
        control=instead(RANK, RANK_OF_NOTHING),
    ),
)
