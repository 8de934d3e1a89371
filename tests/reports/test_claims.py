"""One contract for every claim of the registry, on evidence that has what is claimed and on evidence that has not."""

import math
from dataclasses import replace

import numpy as np
import pytest

from rrm.reports.claims.claim import Claim
from rrm.reports.claims.evidence import PARTS, Evidence, join
from rrm.reports.claims.registry import CLAIMS
from rrm.reports.claims.table import csv_rows, effects, report, rows
from rrm.statistics.claims import HOLDS, OPEN, VERDICTS, judge
from tests.reports.claims_evidence import SEEDS, evidence

BY_NAME = {claim.name: claim for claim in CLAIMS}


@pytest.fixture(scope="module")
def present():
    return evidence(True)


@pytest.fixture(scope="module")
def absent():
    return evidence(False)


def test_names_are_different_and_lasting():
    assert len(BY_NAME) == len(CLAIMS) and all(name == name.lower() for name in BY_NAME)


@pytest.mark.parametrize("claim", CLAIMS, ids=BY_NAME)
def test_claim(claim, present, absent):
    assert claim.evidence in PARTS and getattr(present, claim.evidence)
    found, control = effects(claim, present)
    assert sorted(found) == list(SEEDS)
    # Alone in its table: three seeds leave no room for a correction over all claims.
    (judged,) = judge([(found, claim.null, claim.smallest)])
    assert judged.verdict == HOLDS, judged
    (judged,) = judge([(claim.effect(absent), claim.null, claim.smallest)])
    assert judged.verdict != HOLDS, judged
    if claim.control:
        # The null of the same measurements goes through the same code, and has no effect that counts.
        assert sorted(control) == list(SEEDS)
        away, effect = (np.mean(list(values.values())) - claim.null for values in (control, found))
        assert away < effect / 2
    assert not any(math.isfinite(value) for value in claim.effect(Evidence()).values())


def test_the_table_says_everything_of_every_claim(present):
    kept = {claim.name: effects(claim, present) for claim in CLAIMS if claim.evidence != "spectra"}
    judged = rows(CLAIMS, present, lambda claim, found: kept.get(claim.name, ({}, {})))
    said, cells = report(judged), csv_rows(judged)
    assert len(cells) == len(said.sentences) - 1 == len(CLAIMS) and said.note.count("\n") == len(CLAIMS) + 1
    assert all(f"{row.claim.words}: " in sentence for row, sentence in zip(judged, said.sentences, strict=False))
    by_words = {row["claim"]: row for row in cells}
    row, effect = by_words[BY_NAME["breadth_over_depth"].words], said.metrics["claims/breadth_over_depth/effect"]
    assert row["runs"] == "d e" and row["seeds"] == "3" and row["counts from"] == "2" and row["verdict"] in VERDICTS
    assert 100 * effect == pytest.approx(float(row["effect"].split()[0]), 0.01)
    empty = by_words[BY_NAME["separates/hrm"].words]
    assert (empty["verdict"], empty["effect"], empty["seeds"]) == (OPEN, "", "0")
    assert sum(said.metrics[f"verdicts/{verdict.replace(' ', '_')}"] for verdict in VERDICTS) == len(CLAIMS)
    assert list(said.figures) == ["claims"]


def test_evidence_of_several_jobs_is_joined():
    one = Evidence(rollouts={0: "a"}, toy={"none": {0: 0.1}}, runs={"rollouts": ["r0"]})
    two = Evidence(rollouts={1: "b"}, toy={"none": {1: 0.2}, "pre": {0: 0.3}}, runs={"rollouts": ["r1"]})
    both = join([one, two])
    assert both.rollouts == {0: "a", 1: "b"} and both.runs == {"rollouts": ["r0", "r1"]}
    assert both.toy == {"none": {0: 0.1, 1: 0.2}, "pre": {0: 0.3}}


@pytest.mark.parametrize("change", [{"evidence": "dreams"}, {"smallest": 0.0}])
def test_a_claim_needs_evidence_and_an_effect_that_counts(change):
    settings = {"name": "c", "words": "w", "test": "t", "evidence": "arms", "effect": lambda found: {}, "smallest": 1.0}
    with pytest.raises(ValueError, match="claim c: "):
        Claim(**settings | change)


def test_arms_that_learned_nothing_are_no_evidence_that_they_are_equal(present):
    claim = BY_NAME["dream/filter"]
    dull = [replace(point, best=0.01, final=0.01) for point in present.dream]
    (row,) = rows([claim], replace(present, dream=dull))
    assert row.judged.verdict == OPEN and "no seed has what the test needs" in report([row]).sentences[0]
    one = [replace(point, best=0.01) if point.arm == "filtered" else point for point in present.dream]
    assert claim.effect(replace(present, dream=one))[SEEDS[0]] == pytest.approx(0.01 - 0.5, abs=0.05)
