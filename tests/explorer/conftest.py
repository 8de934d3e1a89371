"""A reader of made-up runs."""

import math

import numpy as np
import pytest

from rrm.panels import HISTORIES
from tests.explorer.memory import STEPS, Memory, make_run


@pytest.fixture
def reader():
    """Two arms of three seeds with every series of every panel; the last run grokked, and has a gap."""
    runs, curves = [], {}
    names = [name.replace("*", "0") for panels in HISTORIES.values() for panel in panels
             for name in panel.series.values()]  # fmt: skip
    for number in range(6):
        arm, seed = ("baseline", "noise")[number // 3], number % 3
        metrics = {"test/accuracy": 0.2 * number, "train/accuracy": 1.0}
        run = make_run(number, arm, seed, metrics)
        own = {name: (STEPS, 1.0 + seed + np.exp(-STEPS / 300)) for name in names}
        own["call_units"] = STEPS[10:], 2.0 * STEPS[10:]
        if number == 5:
            own["grokking/grokked_step"] = np.array([500]), np.array([500.0])
            values = own["test/loss"][1].copy()
            values[50:60] = math.nan
            values[70] = math.inf
            own["test/loss"] = STEPS, values
        runs.append(run)
        curves[run.id] = own
    return Memory(runs, curves)
