"""Figures for a paper. Each function takes plain records and returns a `matplotlib.figure.Figure`; `save` writes it."""

from rrm.figures.accuracy_against_sigma import accuracy_against_sigma
from rrm.figures.arms import arm_differences
from rrm.figures.flossing_toy import flossing_toy_figure
from rrm.figures.grokking_fourier import fourier_figure
from rrm.figures.grokking_history import history_figure, layer_panels
from rrm.figures.grokking_routing import routing_evolution, routing_figure
from rrm.figures.grokking_survival import grokking_survival
from rrm.figures.horizon import horizon_figure
from rrm.figures.kicks import kick_figure
from rrm.figures.lambda_distributions import lambda_distributions
from rrm.figures.local_exponents import local_exponents
from rrm.figures.null_ladder import null_ladder
from rrm.figures.settling import settling_figure
from rrm.figures.spectrum import leading_spectrum
from rrm.figures.style import save
from rrm.figures.survival import survival_figure

__all__ = [
    "accuracy_against_sigma",
    "arm_differences",
    "flossing_toy_figure",
    "fourier_figure",
    "grokking_survival",
    "history_figure",
    "horizon_figure",
    "kick_figure",
    "lambda_distributions",
    "layer_panels",
    "leading_spectrum",
    "local_exponents",
    "null_ladder",
    "routing_evolution",
    "routing_figure",
    "save",
    "settling_figure",
    "survival_figure",
]
