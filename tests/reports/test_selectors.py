"""Every selector of the report: in the table, in the figure, and at its price."""

from dataclasses import replace

import numpy as np
import pytest

from rrm.dynamics.escape import EscapeResult
from rrm.dynamics.stochastic import SPAN, StochasticResult
from rrm.dynamics.stopping import STOPS
from rrm.figures.selection import LOOKS
from rrm.reports.selection import find, findings, metrics, report, tables
from rrm.reports.selectors import FIRST, FIRST_HALT, FIRST_SETTLED, SCORES, extra_segments, stops

N, K, DEPTHS, CALLS = 30, 4, np.array([4, 8]), 6


@pytest.fixture
def result():
    rng = np.random.default_rng(0)
    shape, of_stops = (N, K + 1, 2), (N, K + 1, len(STOPS))
    solved = rng.random(shape) < 0.5
    numbers = {name: rng.normal(size=shape) for name in ("q_halt", "residual", "growth", "lambda_1")}
    segment = rng.integers(0, 9, of_stops)
    right = (rng.random(of_stops) < 0.5) & (segment > 0)
    return StochasticResult(
        0.3, "z_L", 0, DEPTHS, np.arange(N), solved, solved, solved, answer=solved.astype(np.uint64),
        settled=np.ones(shape, int), finite=np.ones(shape, bool), calls_per_segment=CALLS, stops=" ".join(STOPS),
        stop_segment=segment, stop_rank=rng.normal(size=of_stops), stop_solved=right, stop_valid=right,
        stop_shortest=right, **numbers,
    )  # fmt: skip


def test_every_rule_and_score_is_a_selector_with_a_look():
    assert set(FIRST) == set(STOPS) and {*FIRST.values(), *SCORES} <= set(LOOKS)


@pytest.mark.parametrize("name", [*SCORES, *FIRST.values()])
def test_every_selector_is_in_the_table_at_its_price(result, name):
    found = find("trm", result, 1)
    (row,) = [row for row in found.table if (row.selector, row.k) == (name, K)]
    extra = {"lowest residual": K, "most stable": K * SPAN, "lowest lambda_1": K * 8}.get(name, 0)
    assert extra_segments(name, 8, K) == extra
    if name in SCORES:
        assert found.calls(row).estimate == CALLS * (K * 8 + extra)
    else:
        of_rule = result.stop_segment[:, 1:, list(FIRST.values()).index(name)]
        first = np.where(of_rule > 0, of_rule, 8).min(1)
        assert found.calls(row).estimate == pytest.approx(CALLS * K * first.mean())
        (rule,) = [rule for rule in found.stopped if rule.selector == name]
        assert rule.share.estimate == pytest.approx((of_rule > 0).mean())
        assert rule.segment == pytest.approx(of_rule[of_rule > 0].mean())
    assert f"calls/depth_8/K_4/{name.replace(' ', '_')}" in metrics(found)
    assert any(f"Of 4 rollouts, {name} is" in words for words in report([found]).sentences)


def test_a_stop_after_the_depth_is_none(result):
    """At depth 4 a rollout that stops later counts with its answer at 4."""
    halting = stops(result, 0, "solved")[FIRST_HALT]
    later = result.stop_segment[:, 1:, 0] > 4
    assert later.any() and not halting.segment[later].any() and halting.segment.max() == 4
    assert np.array_equal(halting.solved[later], result.solved[:, 1:, 0][later])
    within = halting.segment > 0
    assert np.array_equal(halting.solved[within], result.stop_solved[:, 1:, 0][within])


def test_without_a_q_head_settling_is_left_and_older_results_have_neither(result):
    headless = replace(result, q_halt=np.full_like(result.q_halt, np.nan))
    assert list(stops(headless, 1, "solved")) == [FIRST_SETTLED]
    older = replace(result, stops="", calls_per_segment=0, **{
        name: None for name in ("stop_segment", "stop_rank", "stop_solved", "stop_valid", "stop_shortest")
    })  # fmt: skip
    (found,) = findings("trm", replace(older, depths=DEPTHS[1:]), ("solved",))
    assert not found.stopped and not any("calls" in line for lines in tables(found).values() for line in lines)
    nobody = find("trm", replace(result, stop_segment=np.zeros_like(result.stop_segment)), 1)
    assert nobody.stopped[0].right is None and report([nobody]).tables


def test_one_rollout_of_the_same_calls_stands_beside_each(result):
    right = np.arange(1, 33)[None] >= np.arange(N)[:, None]  # puzzle i is right from segment i on
    deep = EscapeResult(32, 0, np.arange(N), right, right, right, np.zeros(right.shape), np.ones(N, bool))
    _, found = findings("trm", result, ("solved",), deep=deep)
    at = {row.selector: row for row in found.table if row.k == K}
    assert at["random"].alone.estimate == right[:, 7].mean() and at["majority"].alone.estimate == 1
    halting = at[FIRST_HALT]
    last = int(np.ceil(halting.segments.estimate))
    assert last < 32 and halting.alone.estimate == right[:, last - 1].mean()
    assert any("one rollout of these calls" in line for line in next(iter(tables(found).values())))
