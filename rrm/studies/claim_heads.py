"""The sweep that claims on heads are judged by: the baseline, its controls and the arm with noise."""

from dataclasses import replace

from rrm.jobs.heads import BASELINE, OTHER_ORDER, PERTURBED, RANDOM_LABELS, SPEC
from rrm.jobs.spec import Config, grid

ARMS = (BASELINE, OTHER_ORDER, RANDOM_LABELS, PERTURBED)


def _arms(models: list[str]) -> list[Config]:
    return grid(model=models, arm=ARMS)


_PRESET = SPEC.presets["default"]
HEADS_SPEC = replace(
    SPEC,
    name="claims",
    fixed=_arms,
    presets={"quick": replace(_PRESET, seeds=2), "full": replace(_PRESET, seeds=5)},
)
