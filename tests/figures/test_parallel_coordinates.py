"""All trials of a search in one figure, and the importances of its axes."""

import numpy as np
import pytest
from matplotlib.patches import PathPatch

from rrm.figures.importance import importance_figure
from rrm.figures.parallel_coordinates import parallel_coordinates
from rrm.statistics.axes import AxisImportance

MODELS = ("trm_mlp", "trm_att", "hrm", "srm_mlp")
CHOICES = {
    "model": MODELS, "kind": ("initial_state", "every_segment", "every_call"), "location": ("both", "z_H", "z_L"),
    "flossing": ("none", "pre", "inter", "pre_inter"),
}  # fmt: skip
BASELINES = [({"trial": i, "model": m, "seed": 0, "sigma": 0.0, "flossing": "none"}, 0.1 * i)
             for i, m in enumerate(MODELS)]  # fmt: skip


def drawn(count):
    rng = np.random.default_rng(count)
    return [
        ({"trial": 4 + i, "seed": 0, "sigma": float(10 ** rng.uniform(-4, 0))}
         | {name: str(rng.choice(choices)) for name, choices in CHOICES.items()}, float(rng.uniform(0, 0.9)))
        for i in range(count)
    ]  # fmt: skip


def curves(figure):
    return [patch.get_path().vertices for patch in figure.axes[0].patches if isinstance(patch, PathPatch)]


@pytest.mark.parametrize("count", [1, 4, 12, 60])
def test_one_curve_a_trial_and_readable_text(count, overlaps):
    figure = parallel_coordinates(drawn(count), BASELINES)
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert not overlaps(figure)
    assert len(curves(figure)) == count + len(BASELINES)
    assert {"sigma", *MODELS} <= set(texts) and "trial" not in texts and "seed" not in texts
    heights = np.array([vertices[-1, 1] for vertices in curves(figure)])
    assert (np.diff(heights) >= 0).all() and heights.min() >= 0 and heights.max() <= 1  # accuracy, the last axis


def test_logarithmic_axis_with_a_zero_at_its_foot():
    trials = [({"trial": i, "sigma": sigma}, 0.5) for i, sigma in enumerate((1e-3, 1e-2, 1e-1))]
    figure = parallel_coordinates(trials, [({"trial": 9, "sigma": 0.0}, 0.5)])
    low, middle, high, zero = (vertices[0, 1] for vertices in curves(figure))
    assert zero == 0 < low and high == 1 and middle - low == pytest.approx(high - middle)


def test_a_search_without_trials_is_refused():
    with pytest.raises(ValueError, match="at least one trial"):
        parallel_coordinates([])
    with pytest.raises(ValueError, match="at least one axis"):
        importance_figure([])


@pytest.mark.parametrize("important", [True, False])
def test_importances_beside_chance(important, overlaps):
    found = [AxisImportance("model", 0.03 if important else 0.001, 0.01, 0.002), AxisImportance("sigma", 0.0, 0.02, 1)]
    figure = importance_figure(found)
    (ax,) = figure.axes
    assert not overlaps(figure)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["sigma", "model"]
    assert ("stands out" in [text.get_text() for text in figure.legends[0].get_texts()]) == important
