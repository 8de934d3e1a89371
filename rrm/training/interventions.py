"""What a sweep can turn besides the model: one line per intervention."""

from rrm.errors import InputError
from rrm.training.perturbation import TrajectoryPerturbation

PERTURBATIONS = {"initial_state": TrajectoryPerturbation}

# Gradient-flossing schedules by name; "none" trains on the task loss alone.
FLOSSING = {"none": None}


def perturbation(kind: str, **settings):
    """The perturbation `kind` with its settings."""
    if kind not in PERTURBATIONS:
        raise InputError(f"perturbation {kind!r} is unknown: use one of {', '.join(PERTURBATIONS)}")
    return PERTURBATIONS[kind](**settings)


def flossing(schedule: str):
    """The flossing schedule of this name, None for "none"."""
    if schedule not in FLOSSING:
        raise InputError(f"flossing schedule {schedule!r} is unknown: use one of {', '.join(FLOSSING)}")
    return FLOSSING[schedule]
