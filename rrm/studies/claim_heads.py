"""The sweep that claims on heads are judged by."""

from dataclasses import replace

from rrm.jobs.heads import SPEC

_PRESET = SPEC.presets["default"]
HEADS_SPEC = replace(
    SPEC, name="claims", presets={"quick": replace(_PRESET, seeds=2), "full": replace(_PRESET, seeds=5)}
)
