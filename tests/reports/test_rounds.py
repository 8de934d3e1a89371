"""Rounds of dream loops, from curves to sentences."""

import numpy as np

from rrm.reports.rounds import rounds_report, selection_sentences
from rrm.statistics.rounds import rounds_of


def curves(rounds, **series):
    """A curve file of a training: a row a round, and an evaluation behind each that repeats it."""
    steps = np.repeat(20 * np.arange(1, rounds + 1), 2) + np.tile([0, 7], rounds)
    known = {"round": np.arange(rounds), **{name: np.array(values) for name, values in series.items()}}
    return {f"dream/{name}": (steps, np.repeat(values, 2).astype(float)) for name, values in known.items()}


def training(rounds=3, kept=(8, 8, 8), easy=(0.6, 0.7, 0.8)):
    same = {name: [0.5] * rounds for name in ("p_hat", "pass_1", "pass_K", "false_accepts", "kept_tier_3")}
    return curves(
        rounds, sigma=[0.3] * rounds, kept=kept[:rounds], kept_tier_1=easy[:rounds], tried_tier_1=[0.5] * rounds,
        **{"yield": [0.4, 0.2, 0.1][:rounds]}, corrections=[0.4, 0.4, 0.1][:rounds], **same,
    )  # fmt: skip


def test_rounds_are_those_of_the_curves_each_once():
    arm = rounds_of("filtered", [training(), training(2), {"train/loss": (np.arange(3), np.ones(3))}])
    assert arm.count == 3 and arm.series["kept_tier_1"].shape == (2, 3)
    assert np.array_equal(arm.series["yield"], [[0.4, 0.2, 0.1], [0.4, 0.2, np.nan]], equal_nan=True)
    assert arm.mean("yield", 1).estimate == 0.2 and len(arm.records(1)) == 2
    assert rounds_of("true labels", [{}]) is None


def test_the_report_tells_drift_and_which_rule_comes_first():
    arm = rounds_of("filtered", [training(), training(easy=(0.6, 0.6, 0.7))])
    said = rounds_report([arm], "filtered")
    drift, stops, noise = said.sentences
    # Mean of .1 .2 .3 and of .1 .1 .2 over the seeds; the last round is .2 and .1 above the first.
    assert "easy puzzles are +16.7" in drift and "and +15.0" in drift
    assert "before the yield does in 0 seeds, after it in 2" in stops and "yield in 0 of 2 seeds" in stops
    assert "accepted 50 % to 50 %" in noise and said.figures.keys() == {"rounds"}
    # A round that keeps nothing has no tiers.
    nothing = rounds_of("filtered", [training(kept=(0, 0, 0)), training(kept=(0, 0, 0))])
    assert "filtered: nothing was kept." in rounds_report([nothing], None).sentences


def test_selection_compares_at_equal_inference():
    seeds = {0: {"clean": 0.5, "chosen": 0.6, "any": 0.8}, 1: {"clean": 0.5, "chosen": 0.7, "any": 0.9}}
    better = {0: {"clean": 0.7, "chosen": 0.8, "any": 0.9}, 1: {"clean": 0.8, "chosen": 0.8, "any": 0.9}}
    lines, said = selection_sentences({"true labels": seeds, "filtered": better}, 8)
    by_q, equal, by_rules, equal_by_rules = said
    assert len(lines) == 3 and "+10.0" in by_q and "+15.0" in equal
    assert "-10.0" in by_rules and "+5.0" in equal_by_rules
