"""Accuracy by difficulty, and verdicts on predictions, where the answer is known."""

from dataclasses import replace

import numpy as np
import pytest

from rrm.jobs.predictions import Prediction
from rrm.reports.tiers import AS_PREDICTED, NOT_AS_PREDICTED, OPEN, judge_predictions, tier_table
from rrm.statistics import SweepPoint
from rrm.statistics.arms import compare_arms
from rrm.statistics.tiers import MEASURES, tier_points

N, SEEDS = 60, 8
TIER = np.repeat([0, 1, 2], N // 3)


def point(arm, seed, solved):
    found = np.asarray(solved, np.uint8)
    share = float(found.mean())
    return SweepPoint("trm", arm, share, share, N, False, arm == "uniform", seed=seed, area=share, call_units=9.0,
                      solved=found.tobytes())  # fmt: skip


def outcomes(hard, rng):
    """All of the easy tier, half of the middle one, and a share of the hard one but for its last six puzzles."""
    solved = np.zeros(N, bool)
    solved[:20], solved[20:30] = True, True
    solved[40 : 40 + round(20 * hard)] = True
    solved[40 + round(20 * hard) - 1] = rng.random() < 0.5
    return solved


@pytest.fixture(scope="module")
def points():
    rng = np.random.default_rng(0)
    shares = {"uniform": 0.3, "again": 0.3, "better": 0.5}
    made = [point(arm, seed, outcomes(hard, rng)) for arm, hard in shares.items() for seed in range(SEEDS)]
    return tier_points(made, TIER, np.arange(N, dtype=float))


def test_tiers_and_the_tenth_that_the_other_seeds_solve_least(points):
    assert {(p.easy, p.middle) for p in points} == {(1.0, 0.5)}
    assert {round(p.hard, 2) for p in points if p.arm == "better"} == {0.45, 0.5}
    # The hardest of the puzzles that nobody solves: six of sixty.
    assert {p.worst_tenth for p in points} == {0.0}
    # The seed itself does not choose. Seed 0 alone solves six puzzles, at which it is judged, and not at the three at
    # which it alone fails; these are among the six hardest half-solved ones of the others, three of them.
    solved = np.ones((3, N), bool)
    solved[:, :6] = [[True] * 6, [False] * 6, [False] * 6]
    solved[0, 30:33] = False
    made = tier_points([point("a", seed, row) for seed, row in enumerate(solved)], TIER, np.arange(N))
    assert [p.worst_tenth for p in made] == [1.0, 0.5, 0.5]
    assert tier_points([point("a", 0, solved[0])], TIER, np.arange(N))[0].worst_tenth is None


def test_mazes_have_their_shortest_paths_beside_the_paths_of_labels(points):
    label, shortest = np.zeros(N, np.uint8), np.zeros(N, np.uint8)
    label[:5], shortest[:10], shortest[-4:] = 1, 1, 1
    mazes = [replace(point(arm, seed, label), along_shortest=shortest.tobytes()) for arm in ("uniform", "loop")
             for seed in (0, 1)]  # fmt: skip
    (first, *_) = made = tier_points(mazes, TIER, np.arange(N))
    assert (first.easy, first.hard) == (0.25, 0) and first.shortest == 14 / N
    assert (first.shortest_easy, first.shortest_middle, first.shortest_hard) == (0.5, 0.0, 0.2)
    row = tier_table(compare_arms(made, MEASURES), "uniform")[0]
    assert (row["peak %"], row["shortest %"], row["hard, shortest %"]) == ("8.3", "23.3", "20.0")
    assert not any("shortest" in name for row in tier_table(compare_arms(points, MEASURES), "uniform") for name in row)


def test_predictions_are_judged_by_paired_seeds(points):
    by_arm = {("", arm): [p for p in points if p.arm == arm] for arm in ("uniform", "again", "better")}

    def judged(arm, expected, smallest=0.05, measure="hard"):
        made = Prediction("words", arm, "uniform", measure, expected, smallest)
        return judge_predictions([made], by_arm)[0]

    assert judged("better", "more").verdict == judged("again", "same").verdict == AS_PREDICTED
    assert judged("again", "more").verdict == judged("better", "same").verdict == NOT_AS_PREDICTED
    assert judged("better", "less").verdict == NOT_AS_PREDICTED and judged("again", "no less").verdict == AS_PREDICTED
    assert judged("again", "more", 0.001).verdict == OPEN
    assert judged("better", "more").difference.estimate == pytest.approx(0.2, abs=0.03)
    assert "points over 8 seeds (null 0; 8 seeds find about" in judged("better", "more").sentence()
    assert "no seed has both nobody and uniform" in judged("nobody", "more").sentence()
    # Near 0 % equality is no finding, but a difference is one.
    dull = {key: [replace(p, hard=p.hard / 20) for p in of_arm] for key, of_arm in by_arm.items()}
    for arm, expected, verdict in (("again", "same", OPEN), ("again", "more", OPEN), ("better", "more", AS_PREDICTED)):
        made = Prediction("words", arm, "uniform", "hard", expected, 0.05)
        assert judge_predictions([made], dull)[0].verdict == verdict
    with pytest.raises(ValueError, match="'most' is none of more, less, same, no less"):
        judged("better", "most")


def test_the_table_has_every_tier_of_every_arm(points):
    rows = tier_table(compare_arms(points, MEASURES), "uniform")
    assert [row["arm"] for row in rows] == ["uniform", "again", "better"]
    assert rows[0]["easy %"] == "100.0" and rows[2]["hard %"].startswith("4") and "(+" in rows[2]["hard %"]
    assert {"peak %", "middle %", "worst tenth %", "area %", "calls", "seeds"} <= rows[0].keys()
