"""Claims on training: arms against each other, seed by seed, and what becomes of a peak."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import nan
from typing import Any

from rrm.reports.claims.claim import Claim
from rrm.reports.claims.evidence import Evidence
from rrm.statistics import SweepPoint
from rrm.statistics.arms import LEARNED

# Names of the arms (`rrm.studies.claims.specs`). The unperturbed copies have the puzzles and calls of multi4, no noise.
BASELINE, PERTURBED, COPIES, FLOSSED = "baseline", "multi4", "clean copies", "pre-flossing"
PERTURBED_LONG = "multi4, equal steps"
WINNER, ALL_LEARN, RANDOM_LEARNS = "winner takes all", "all learn", "a random one learns"


def by_seed(points: Sequence[SweepPoint], arm: str) -> dict[int, SweepPoint]:
    """The finished runs of an arm."""
    return {point.seed: point for point in points if point.arm == arm and not point.stopped_early}


def over(arm: str, other: str, part: str = "arms") -> Callable[[Evidence], dict[int, float]]:
    """Peak accuracy of an arm minus that of another one, by shared seed; both of a part of the evidence.

    nan where neither has LEARNED.
    """

    def effect(found: Evidence) -> dict[int, float]:
        one, two = (by_seed(getattr(found, part), name) for name in (arm, other))
        peaks = {seed: (one[seed].best, two[seed].best) for seed in one if seed in two}
        return {seed: a - b if max(a, b) >= LEARNED else nan for seed, (a, b) in peaks.items()}

    return effect


def lost(arm: str) -> Callable[[Evidence], dict[int, float]]:
    """Peak accuracy of an arm minus its final accuracy."""
    return lambda found: {seed: point.best - point.final for seed, point in by_seed(found.arms, arm).items()}


def lost_at_depth_alone(found: Evidence) -> dict[int, float]:
    """What the baseline loses at full depth beyond what it loses at halting, by seed; nan without accuracy at halting.

    A model that forgets loses both, one that leaves its answer after halting only the first.
    """

    def of_run(point: SweepPoint) -> float:
        if point.best_at_halting is None or point.final_at_halting is None:
            return nan
        return (point.best - point.final) - (point.best_at_halting - point.final_at_halting)

    return {seed: of_run(point) for seed, point in by_seed(found.arms, BASELINE).items()}


def halting_at_the_end(found: Evidence) -> Evidence:
    """The evidence with the accuracy at full depth in the place of that at halting."""
    changed = [replace(point, best_at_halting=point.best, final_at_halting=point.final) for point in found.arms]
    return replace(found, arms=changed)


def instead(arm: str, stand_in: str, part: str = "arms") -> Callable[[Evidence], Evidence]:
    """The evidence with the runs of `stand_in` under the name of `arm`."""

    def control(found: Evidence) -> Evidence:
        others = [point for point in getattr(found, part) if point.arm != arm]
        changed: dict[str, Any] = {part: [*others, *(replace(p, arm=arm) for p in others if p.arm == stand_in)]}
        return replace(found, **changed)

    return control


def never_lost(found: Evidence) -> Evidence:
    """The evidence with the last weights in the place of the best ones."""
    return replace(found, arms=[replace(point, best=point.final) for point in found.arms])


def peak_is_lost(arm: str, name: str, words: str) -> Claim:
    return Claim(
        name=f"peak_is_lost/{name}",
        words=f"the peak of {words} is later lost",
        test="accuracy of the weights best on validation minus that of the last ones",
        evidence="arms",
        effect=lost(arm),
        smallest=0.05,
        control=never_lost,
        unit="points",
    )


TRAINING = (
    Claim(
        name="perturbed_peak/equal_calls",
        words="perturbed training (multi4) raises peak accuracy at equal network calls",
        test="peak of multi4 minus that of the baseline",
        evidence="arms",
        effect=over(PERTURBED, BASELINE),
        smallest=0.02,
        control=instead(PERTURBED, COPIES),
        unit="points",
    ),
    Claim(
        name="perturbed_peak/equal_steps",
        words="perturbed training (multi4) raises peak accuracy at equal steps, with four times the calls",
        test="peak of multi4 minus that of the baseline",
        evidence="arms",
        effect=over(PERTURBED_LONG, BASELINE),
        smallest=0.02,
        # At equal steps unperturbed copies train the baseline.
        control=instead(PERTURBED_LONG, BASELINE),
        unit="points",
    ),
    peak_is_lost(BASELINE, "baseline", "the baseline"),
    peak_is_lost(PERTURBED_LONG, "perturbed", "perturbed training"),
    Claim(
        name="lost_at_depth_alone",
        words="the peak of the baseline is lost at full depth while accuracy at halting stays",
        test="peak minus final accuracy at full depth, minus the same at halting",
        evidence="arms",
        effect=lost_at_depth_alone,
        smallest=0.05,
        control=halting_at_the_end,
        unit="points",
    ),
    Claim(
        name="winner_takes_all",
        words="winner-take-all beats all-learn at equal network calls",
        test="peak where the best of four rollouts learns minus that where all learn",
        evidence="arms",
        effect=over(WINNER, ALL_LEARN),
        smallest=0.02,
        control=instead(WINNER, RANDOM_LEARNS),
        unit="points",
    ),
    Claim(
        name="flossing/here",
        words="pre-flossing raises peak accuracy at equal network calls",
        test="peak with flossing minus that of the baseline",
        evidence="arms",
        effect=over(FLOSSED, BASELINE),
        smallest=0.02,
        unit="points",
    ),
    Claim(
        name="flossing/toy",
        words="pre-flossing helps the random network that it was published for",
        test="share of right bits with flossing minus without",
        evidence="toy",
        effect=lambda found: _paired(found, "pre", "none"),
        smallest=0.05,
        unit="points",
    ),
)


def _paired(found: Evidence, arm: str, other: str) -> dict[int, float]:
    one, two = found.toy.get(arm, {}), found.toy.get(other, {})
    return {seed: one[seed] - two[seed] for seed in one if seed in two}
