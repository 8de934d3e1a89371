"""Ideal networks, of which every number is known, and decoys."""

import math

import numpy as np
import pytest

from rrm.statistics.fourier import (
    embedding_power,
    explained,
    fourier,
    gini,
    group_order,
    key_frequencies,
)

KEYS = (5, 11, 17)
INVERSE = {"add": "subtract", "subtract": "add", "multiply": "divide", "divide": "multiply"}


def ideal(p, operation, keys=KEYS, weights=None):
    """Logits [p, p, p]: cosines in a + b - c, or in logarithms of them, where no answer is 0."""
    order = group_order(p, operation)
    n = len(order)
    log = np.zeros(p, int)
    log[order] = np.arange(n)
    sign = -1 if operation in ("subtract", "divide") else 1
    a, b, c = np.meshgrid(*[log] * 3, indexing="ij")
    weights = weights or [10.0] * len(keys)
    logits = sum(w * np.cos(2 * np.pi * k * (a + sign * b - c) / n) for k, w in zip(keys, weights, strict=True))
    if n < p:
        logits[..., 0] = -100
    return logits


# Fault 9 of an earlier system: characters of a - b on its page of a + b, so that an ideal network explained half.
@pytest.mark.parametrize("operation", INVERSE)
def test_an_ideal_network_is_explained_by_its_operation_alone(operation):
    found = fourier(ideal(59, operation), operation)
    assert found.fve == pytest.approx(1) and found.key_fve == pytest.approx(1)
    assert set(found.keys) == set(KEYS) and found.explained[list(np.array(KEYS) - 1)] == pytest.approx([1 / 3] * 3)
    assert found.inverse == pytest.approx(0, abs=1e-12)
    decoy = fourier(ideal(59, INVERSE[operation]), operation)
    assert decoy.fve == pytest.approx(0, abs=1e-12) and decoy.inverse == pytest.approx(1)


# Fault 10 of an earlier system: products in the additive basis.
def test_multiplication_is_no_wave_of_the_additive_group():
    logits = ideal(59, "multiply")
    assert explained(logits, "multiply").sum() == pytest.approx(1)
    assert explained(logits, "add").sum() < 0.1


def test_the_powers_of_a_primitive_root_are_every_number_but_0():
    for p in (3, 5, 7, 31, 59, 97, 113):
        order = group_order(p, "divide")
        assert sorted(order) == list(range(1, p))
        i, j = 2 % (p - 1), p - 2
        assert order[i] * order[j] % p == order[(i + j) % (p - 1)]


@pytest.mark.parametrize("operation", INVERSE)
def test_the_plane_of_frequencies_shows_the_pair(operation):
    found = fourier(ideal(31, operation, keys=(4,)), operation)
    n = len(found.logit_power)
    pair = [(4, 4), (n - 4, n - 4)] if operation in ("add", "multiply") else [(4, n - 4), (n - 4, 4)]
    assert [found.logit_power[place] for place in pair] == pytest.approx([0.5, 0.5])
    assert found.logit_power.sum() == pytest.approx(1)


@pytest.mark.parametrize("operation", INVERSE)
def test_ablations_of_an_ideal_network(operation):
    train = np.random.default_rng(0).random((31, 31)) < 0.4
    found = fourier(ideal(31, operation), operation, train=train)
    chance = math.log(len(group_order(31, operation)))
    for part in ("all", "train", "test"):
        assert found.ablations["full", part].accuracy == found.ablations["restricted", part].accuracy == 1
        assert found.ablations["restricted", part].loss == pytest.approx(found.ablations["full", part].loss)
        assert found.ablations["excluded", part].loss == pytest.approx(chance)


def test_ablations_of_a_network_that_memorised():
    """Trained pairs by heart, nothing else: the key frequencies are not what the train loss rests upon."""
    p, random = 31, np.random.default_rng(0)
    train = random.random((p, p)) < 0.4
    right = (np.arange(p)[:, None] + np.arange(p)) % p
    logits = np.where(train, right, random.integers(0, p, (p, p)))[..., None] == np.arange(p)
    found = fourier(20.0 * logits, "add", train=train)
    assert found.ablations["full", "train"].accuracy == 1 and found.ablations["full", "test"].accuracy < 0.1
    assert found.ablations["excluded", "train"].accuracy == 1 and found.fve < 0.3


# Fault 11 of an earlier system: its threshold changed the spectrum of the embedding alone.
def test_one_threshold_acts_on_embedding_logits_and_ablations():
    p, weights = 59, [10.0, 5.0, 3.0]
    angles = 2 * np.pi * np.outer(np.arange(p), KEYS) / p
    embedding = np.hstack([np.cos(angles) * weights, np.sin(angles) * weights])
    logits = ideal(p, "add", weights=weights)
    # Powers 1, 1/4 and 9/100 of the largest.
    for threshold, expected in ((0.05, KEYS), (0.15, KEYS[:2]), (0.5, KEYS[:1])):
        found = fourier(logits, "add", embedding, threshold=threshold)
        assert tuple(found.keys) == tuple(found.embedding_keys) == expected
    excluded = [fourier(logits, "add", threshold=t).ablations["excluded", "all"].loss for t in (0.5, 0.15, 0.05)]
    assert excluded[0] < excluded[1] < excluded[2]
    assert tuple(fourier(logits, "add", embedding, threshold=0.05, most=2).keys) == KEYS[:2]


def test_gini_tells_a_few_waves_from_many():
    assert gini(np.ones(29)) == pytest.approx(0) and gini(np.eye(29)[3]) == pytest.approx(1 - 1 / 29)
    assert gini([1, 3]) == pytest.approx(0.25)
    p = 59
    waves = np.cos(2 * np.pi * np.outer(np.arange(p), [7]) / p)
    noise = np.random.default_rng(0).standard_normal((p, 64))
    assert gini(embedding_power(waves, "add")) > 0.95 and gini(embedding_power(noise, "add")) < 0.15
    # The same waves in the discrete logarithm are noise for sums.
    product = np.zeros((p, 1))
    product[group_order(p, "multiply")] = np.cos(2 * np.pi * 7 * np.arange(p - 1) / (p - 1))[:, None]
    assert gini(embedding_power(product, "multiply")) > 0.95 > 0.7 > gini(embedding_power(product, "add"))


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="operation 'power' is unknown: use one of add"):
        group_order(7, "power")
    with pytest.raises(ValueError, match="p = 12 with divide"):
        group_order(12, "divide")
    with pytest.raises(ValueError, match="threshold of key frequencies is 0"):
        key_frequencies([1, 2], 0)
    with pytest.raises(ValueError, match=r"shape \(3, 4, 5\)"):
        explained(np.zeros((3, 4, 5)), "add")
