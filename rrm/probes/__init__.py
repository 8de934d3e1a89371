"""Probes: what the weights, the curvature, the optimizer and the path of a training do. A new one is a file and a line.

A probe sees a `View` of a training and changes nothing. The hook `rrm.training.probing` runs them.
"""

from rrm.probes.adam import Adam
from rrm.probes.alignment import Alignment
from rrm.probes.answers import Logits, Lost, Representation
from rrm.probes.critical import CriticalStep
from rrm.probes.fisher import Fisher
from rrm.probes.fourier import FourierSpectrum, FourierStructure
from rrm.probes.gates import Gates
from rrm.probes.gradient import Gradient
from rrm.probes.heads import Heads
from rrm.probes.hessian import Hessian
from rrm.probes.input_hessian import InputHessian
from rrm.probes.jacobian import Jacobian
from rrm.probes.layers import Layers
from rrm.probes.llc import LocalLearningCoefficient
from rrm.probes.path import Path
from rrm.probes.probe import Probe
from rrm.probes.sharpness import Sharpness
from rrm.probes.view import Formula, Moments, Pass, ProbeRows, Subject, View
from rrm.probes.weight_norm import UpdateNorm, WeightNorm

PROBES: dict[str, type[Probe]] = {
    probe.name: probe
    for probe in (
        WeightNorm, UpdateNorm, Alignment, Path, Adam, Logits, Representation, Lost, Jacobian, InputHessian, Gradient,
        Fisher, Hessian, Sharpness, CriticalStep, Heads, Gates, FourierSpectrum, FourierStructure,
        Layers, LocalLearningCoefficient,
    )
}  # fmt: skip

# light: without a pass of the network, but for that of the path.  standard: all but those that look at each layer
# by itself, or that cost hundreds of steps.  layered: the standard ones, and layer by layer.
# Slow ones have a part of the measurements of a preset only (`Probe.turns`).
PRESETS: dict[str, tuple[str, ...]] = {
    "light": ("weight_norm", "update_norm", "alignment", "path", "adam"),
    "standard": tuple(name for name in PROBES if name not in ("llc", "layers")),
    "layered": tuple(name for name in PROBES if name != "llc"),
    "all": tuple(PROBES),
}

__all__ = ["PRESETS", "PROBES", "Formula", "Moments", "Pass", "Probe", "ProbeRows", "Subject", "View"]
