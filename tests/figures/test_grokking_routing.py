"""Figures of routing, from made-up weights."""

import numpy as np
import pytest

from rrm.figures.grokking_routing import routing_evolution, routing_figure
from rrm.statistics.routing import Routing

P = 7


def found(step, routers=2, heads=4):
    random = np.random.default_rng(step)
    answers = (np.arange(P)[:, None] + np.arange(P)) % P
    answers[:, 0] = -1
    weights = {f"layer_{n}_mlp": random.dirichlet(np.full(heads - n, 0.3), (P, P)) for n in range(routers)}
    return Routing(step, answers, weights)


@pytest.mark.parametrize("routers", [1, 2, 4])
def test_every_head_has_its_pairs_and_answers(routers, overlaps):
    figure = routing_figure("a network", found(500, routers))
    assert not overlaps(figure)
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    heads = sum(4 - n for n in range(routers))
    assert sum(title.startswith("head ") for title in titles) == heads and titles.count("by answer") == 1
    shown = figure.axes[0].images[0].get_array()
    assert shown.mask[:, 0].all() and not shown.mask[:, 1:].any()


def test_the_choice_of_pairs_along_a_training(overlaps):
    steps = [found(step) for step in (0, 500, 2500, 12500)]
    figure = routing_evolution("a network", steps)
    assert not overlaps(figure)
    assert [ax.get_title(loc="left") for ax in figure.axes[:4]] == ["step 0", "step 500", "step 2500", "step 12500"]
    assert (figure.axes[5].images[0].get_array() == steps[1].chosen("layer_1_mlp"))[:, 1:].all()
