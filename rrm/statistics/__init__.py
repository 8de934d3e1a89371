"""Statistics over puzzles: rank AUC and its intervals, proportions, settling, and the findings in words.

The unit of every interval here is the puzzle: they say how well one trained model's numbers are known, and nothing
about the spread between training runs. Nothing in this package draws or needs matplotlib.
"""

from rrm.statistics.auc import auc
from rrm.statistics.bootstrap import auc_difference_interval, auc_interval, bootstrap_interval
from rrm.statistics.delong import delong_covariance
from rrm.statistics.findings import perturbation_sentence, separation_sentence
from rrm.statistics.interval import Interval
from rrm.statistics.outcomes import OutcomePanel, Separation, class_shortage, separation
from rrm.statistics.proportions import newcombe_interval, wilson_interval
from rrm.statistics.settling import SettlingTable, late_drift, otsu_threshold, settling_table
from rrm.statistics.sweep import SweepPoint, by_model, select

__all__ = [
    "Interval",
    "OutcomePanel",
    "Separation",
    "SettlingTable",
    "SweepPoint",
    "auc",
    "auc_difference_interval",
    "auc_interval",
    "bootstrap_interval",
    "by_model",
    "class_shortage",
    "delong_covariance",
    "late_drift",
    "newcombe_interval",
    "otsu_threshold",
    "perturbation_sentence",
    "select",
    "separation",
    "separation_sentence",
    "settling_table",
    "wilson_interval",
]
