"""Statistics over puzzles: rank AUC and its intervals, null models, proportions, settling, the findings in words.

The unit of every interval is the puzzle: an interval says how well the numbers of one trained model are known, and
nothing about the spread between training runs. The one exception is `arms`, where the unit is the training run. This
package neither draws nor needs matplotlib. Scripts and notebooks need the names below; the files hold more.
"""

from rrm.statistics.arms import arm_sentences, arm_table, compare_arms
from rrm.statistics.evidence import Evidence, Examples, control_sentence, evidence
from rrm.statistics.findings import perturbation_sentence, separation_sentence
from rrm.statistics.interval import Interval
from rrm.statistics.ladder import ladder_lines, ladder_sentence
from rrm.statistics.outcomes import OutcomePanel, separation
from rrm.statistics.proportions import wilson_interval
from rrm.statistics.settling import late_drift, rounding_norm
from rrm.statistics.survival import Survival, escape_probability, kaplan_meier
from rrm.statistics.sweep import SweepPoint, by_model

__all__ = [
    "Evidence",
    "Examples",
    "Interval",
    "OutcomePanel",
    "Survival",
    "SweepPoint",
    "arm_sentences",
    "arm_table",
    "by_model",
    "compare_arms",
    "control_sentence",
    "escape_probability",
    "evidence",
    "kaplan_meier",
    "ladder_lines",
    "ladder_sentence",
    "late_drift",
    "perturbation_sentence",
    "rounding_norm",
    "separation",
    "separation_sentence",
    "wilson_interval",
]
