"""The parts that a recipe chooses from, by name. A new part is one file and one line here."""

from rrm.training.classification import ClassificationSettings
from rrm.training.curricula.source import CurriculumSettings
from rrm.training.curricula.trials import TrialsSettings
from rrm.training.deep_supervision import DeepSupervisionSettings
from rrm.training.dream.loop import DreamSettings
from rrm.training.dream.source import DreamSourceSettings
from rrm.training.flosser import FlossingSettings
from rrm.training.gradient_filter import GradientFilterSettings
from rrm.training.growing_depth import GrowingDepthSettings
from rrm.training.hook import HookSettings
from rrm.training.journal import JournalSettings
from rrm.training.last_step import LastStepSettings
from rrm.training.losses import cross_entropy, stablemax_cross_entropy
from rrm.training.muon import MuonSettings
from rrm.training.objective import ObjectiveSettings
from rrm.training.optim import AdamATan2Settings, AdamSettings, AdamWSettings, OptimizerSettings, SGDSettings
from rrm.training.part import Loss
from rrm.training.probing import ProbingSettings
from rrm.training.rows import TableRowsSettings
from rrm.training.schedule import Schedule, constant, cosine, phases
from rrm.training.snapshots import SnapshotsSettings
from rrm.training.source import SourceSettings
from rrm.training.stream import OriginalsSettings, RandomLabelsSettings, UniformSettings
from rrm.training.supervised import SupervisedSettings

OBJECTIVES: dict[str, type[ObjectiveSettings]] = {
    "deep_supervision": DeepSupervisionSettings,
    "growing_depth": GrowingDepthSettings,
    "last_step": LastStepSettings,
    "supervised": SupervisedSettings,
    "classification": ClassificationSettings,
}

OPTIMIZERS: dict[str, type[OptimizerSettings]] = {
    "adam_atan2": AdamATan2Settings,
    "adamw": AdamWSettings,
    "adam": AdamSettings,
    "sgd": SGDSettings,
    "muon": MuonSettings,
}

LOSSES: dict[str, Loss] = {
    "stablemax": stablemax_cross_entropy,
    "cross_entropy": cross_entropy,
}

SCHEDULES: dict[str, Schedule] = {
    "cosine": cosine,
    "constant": constant,
    "phases": phases,
}

SOURCES: dict[str, type[SourceSettings]] = {
    "uniform": UniformSettings,
    "originals": OriginalsSettings,
    "random_labels": RandomLabelsSettings,
    "rows": TableRowsSettings,
    "curriculum": CurriculumSettings,
    "dream": DreamSourceSettings,
}

HOOKS: dict[str, type[HookSettings]] = {
    "dream": DreamSettings,
    "flossing": FlossingSettings,
    "gradient_filter": GradientFilterSettings,
    "journal": JournalSettings,
    "probes": ProbingSettings,
    "snapshots": SnapshotsSettings,
    "trials": TrialsSettings,
}
