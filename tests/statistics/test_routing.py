import numpy as np
import pytest

from rrm.statistics.routing import Routing


def test_use_of_heads_by_answer_and_choice():
    # Two numbers under division: pairs with b = 0 have no answer.
    answers = np.array([[-1, 0], [-1, 1]])
    weights = np.zeros((2, 2, 2))
    weights[:, 0] = [9.0, 9.0]
    weights[0, 1], weights[1, 1] = [0.25, 0.75], [1.0, 0.0]
    found = Routing(5, answers, {"layer_0": weights})
    assert found.use("layer_0") == pytest.approx([0.625, 0.375])
    assert found.by_answer("layer_0").tolist() == [[0.25, 0.75], [1.0, 0.0]]
    assert found.chosen("layer_0").tolist() == [[-1, 1], [-1, 0]]
    weights[1, 1] = 0.5  # as routers begin
    assert found.chosen("layer_0").tolist() == [[-1, 1], [-1, -1]]
    lonely = Routing(5, np.array([[0, 0], [0, 0]]), {"layer_0": weights})
    assert np.isnan(lonely.by_answer("layer_0")[1]).all()
