"""Intervals as metrics of a run."""

import re

from rrm.statistics import Interval


def interval_metrics(name: str, value: Interval) -> dict[str, float]:
    """An interval as three metrics."""
    # A name in MLflow may hold no comma and no equals sign.
    name = re.sub(r"[^\w./-]+", "_", name)
    return {name: value.estimate, f"{name}_low": value.low, f"{name}_high": value.high}
