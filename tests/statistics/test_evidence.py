"""The toy that knows nothing but when its search ended, analysed as if it were an experiment."""

import numpy as np
import pytest

from rrm.statistics import Examples, control_sentence, evidence, ladder_sentence
from rrm.statistics.convergence_null import convergence_null
from rrm.statistics.settling import lasts_from


def toy(n, segments, seed, bystanders=0, eps=0.04):
    """Transient chaos with its drift. Bystanders are coordinates that only make the drift as steady as a network's."""
    rng = np.random.default_rng(seed)
    shape = n, 1 + bystanders
    target, x = rng.uniform(0.15, 0.85, shape), rng.random(shape)
    rates, drift, solved_at = np.zeros((n, segments)), np.zeros((n, segments)), np.zeros((n, segments), bool)
    captured = np.zeros(n, bool)
    for t in range(segments):
        rates[:, t] = np.where(captured, np.log(0.5), np.log(np.maximum(np.abs(4 - 8 * x[:, 0]), 1e-300)))
        new = np.where(captured[:, None], target + (x - target) / 2, 4 * x * (1 - x))
        drift[:, t], x = np.linalg.norm(new - x, axis=1), new
        captured |= np.abs(x[:, 0] - target[:, 0]) < eps
        solved_at[:, t] = captured
    return Examples(rates.mean(1)[:, None], rates, drift, solved_at, {}, (~captured).astype(int))


@pytest.fixture(scope="module", params=[0, 32], ids=["plain", "bystanders"])
def found(request):
    return evidence(toy(1000, 16, seed=0, bystanders=request.param))


def test_every_control_of_the_toy_equals_its_null(found):
    assert len(found.controls) == 8 and found.controls.keys() == found.control_nulls.keys()
    for name, value in found.controls.items():
        assert found.control_nulls[name].estimate in value, name
    # What is left after settling in the window before it: with a steady drift, nearly everything.
    assert found.controls["before settling, 2 segments ahead"].low > 0.65
    measured = next(rung.auc for rung in found.ladders["convergence"].rungs if rung.name == "lambda_1")
    assert found.nulls["transient chaos"].estimate in measured
    assert found.lag >= 2


def test_the_toy_says_nothing_and_the_sentences_say_so(found):
    assert not any(step.adds for step in found.ladders["convergence"].steps)
    assert "lambda_1 adds nothing measurable beyond convergence" in ladder_sentence("toy", found.ladders["convergence"])
    assert "before the answer comes, lambda_1 does not measurably tell failed from solved" in control_sentence(
        "toy", found
    )


def test_the_toy_adds_in_two_of_twenty_samples_at_most():
    found = [evidence(toy(256, 8, seed)).ladders["convergence"].steps[0] for seed in range(20)]
    assert sum(step.adds for step in found) <= 2


@pytest.mark.parametrize(
    ("shift", "words"), [(0.5, "solved (AUC"), (-0.5, "solved in the unexpected direction (failed puzzles have the")]
)
def test_a_signal_before_the_answer_is_found(shift, words):
    examples = toy(1000, 16, seed=0)
    ahead = examples.lambda_segments + shift * examples.failed[:, None]
    found = evidence(Examples(ahead.mean(1)[:, None], ahead, *list(vars(examples).values())[2:6]))
    assert f"before the answer comes, lambda_1 tells failed from {words}" in control_sentence("toy", found)


def test_null_exponents_keep_mean_and_covariance_of_the_search_and_what_follows_its_end():
    examples = toy(4000, 12, seed=1)
    rates, ended = examples.lambda_segments, lasts_from(examples.solved_at)
    lasting = np.random.default_rng(2).normal(0, 0.7, (4000, 1))
    searching = np.arange(1, 13) < ended[:, None]
    rates = np.where(searching, 3 + 2 * rates + lasting, rates)
    null = convergence_null(rates, ended, np.random.default_rng(3))
    endless = ended == 13
    assert null[endless].mean(0) == pytest.approx(rates[endless].mean(0), abs=0.2)
    # The rates have long tails: a single variance is known to a tenth, the mean of them to a few hundredths.
    assert null[endless].var(0).mean() == pytest.approx(rates[endless].var(0).mean(), rel=0.08)
    # The level of a puzzle lasts, and the spread of means over any window with it.
    for window in (2, 6, 12):
        spreads = [each[endless, :window].mean(1).std() for each in (null, rates)]
        assert spreads[0] == pytest.approx(spreads[1], rel=0.1)
    after = np.arange(1, 13) > ended[:, None]
    assert (null[after] == np.log(0.5)).all()
    # Nothing is left of the puzzle itself.
    assert abs(np.corrcoef(null[endless].mean(1), rates[endless].mean(1))[0, 1]) < 0.1


def test_null_needs_searches_that_go_on():
    with pytest.raises(ValueError, match="two endless searches.*got 1"):
        convergence_null(np.ones((3, 4)), np.array([1, 2, 5]), np.random.default_rng(0))


def test_an_answer_that_is_lost_and_found_again_is_no_signal():
    examples = toy(512, 8, seed=0)
    examples.solved_at[:, :-1] &= np.random.default_rng(1).random((512, 7)) > 0.3
    found = evidence(examples)
    assert "does not measurably tell" in control_sentence("toy", found)
    name = "before the answer, 1 segment ahead"
    assert found.controls[name].low > 0.55 and found.control_nulls[name].estimate in found.controls[name]


def test_searches_that_are_all_alike_are_their_own_null():
    rates, ended = np.tile(np.arange(4.0), (9, 1)), np.array([1, 2, 3, 4] + [5] * 5)
    assert convergence_null(rates, ended, np.random.default_rng(0))[4:] == pytest.approx(rates[4:])


def test_one_outcome_alone_leaves_no_control():
    examples = toy(60, 8, seed=0, eps=1.0)
    found = evidence(examples)
    assert not found.controls and found.ladders["convergence"] is None
    assert "too few puzzles" in control_sentence("toy", found)
