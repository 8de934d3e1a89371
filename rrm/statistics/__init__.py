"""Statistics over puzzles: rank AUC and its intervals, null models, proportions, settling, the findings in words.

The unit of every interval here is the puzzle: they say how well one trained model's numbers are known, and nothing
about the spread between training runs. The one exception is `arms`, where the unit is the training run. Nothing in this
package draws or needs matplotlib.
"""

from rrm.statistics.arms import ArmComparison, Contrast, arm_sentences, arm_table, compare_arms
from rrm.statistics.auc import auc
from rrm.statistics.auc_interval import auc_difference_interval, auc_interval
from rrm.statistics.delong import delong_covariance
from rrm.statistics.evidence import Evidence, Examples, control_sentence, evidence
from rrm.statistics.findings import perturbation_sentence, separation_sentence
from rrm.statistics.horizon import HorizonPoint, horizon_curve
from rrm.statistics.interval import Interval
from rrm.statistics.ladder import Ladder, Rung, Step, ladder, ladder_lines, ladder_sentence
from rrm.statistics.logistic import log_loss, out_of_fold
from rrm.statistics.matched import drift_decile_auc, label_shuffle, stop_time_matched_auc, stratified_auc
from rrm.statistics.outcomes import OutcomePanel, Separation, class_shortage, separation
from rrm.statistics.proportions import newcombe_interval, paired_newcombe_interval, rule_of_three, wilson_interval
from rrm.statistics.settling import (
    Mobility,
    SettlingSweep,
    SettlingTable,
    late_drift,
    mobility,
    otsu_threshold,
    rounding_norm,
    settle_time,
    settling_sweep,
    settling_table,
)
from rrm.statistics.survival import Survival, escape_probability, kaplan_meier
from rrm.statistics.sweep import SweepPoint, by_model, select
from rrm.statistics.transient_chaos import TransientChaos, matched_eps, transient_chaos

__all__ = [
    "ArmComparison",
    "Contrast",
    "Evidence",
    "Examples",
    "HorizonPoint",
    "Interval",
    "Ladder",
    "Mobility",
    "OutcomePanel",
    "Rung",
    "Separation",
    "SettlingSweep",
    "SettlingTable",
    "Step",
    "Survival",
    "SweepPoint",
    "TransientChaos",
    "arm_sentences",
    "arm_table",
    "auc",
    "auc_difference_interval",
    "auc_interval",
    "by_model",
    "class_shortage",
    "compare_arms",
    "control_sentence",
    "delong_covariance",
    "drift_decile_auc",
    "escape_probability",
    "evidence",
    "horizon_curve",
    "kaplan_meier",
    "label_shuffle",
    "ladder",
    "ladder_lines",
    "ladder_sentence",
    "late_drift",
    "log_loss",
    "matched_eps",
    "mobility",
    "newcombe_interval",
    "otsu_threshold",
    "out_of_fold",
    "paired_newcombe_interval",
    "perturbation_sentence",
    "rounding_norm",
    "rule_of_three",
    "select",
    "separation",
    "separation_sentence",
    "settle_time",
    "settling_sweep",
    "settling_table",
    "stop_time_matched_auc",
    "stratified_auc",
    "transient_chaos",
    "wilson_interval",
]
