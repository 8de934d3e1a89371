"""Rollouts of a recursive model and the finite-time Lyapunov spectra of their trajectories.

    roll = rollout(model, batch, segments=16)
    spectrum = lyapunov_spectrum(model, batch, k=8, segments=16)

Besides: the two-trajectory estimate (`max_lyapunov`), full Jacobians (`jacobian_spectrum`), singular values
(`singular_value_ftle`), covariant vectors (`covariant`), the Kaplan-Yorke dimension (`kaplan_yorke`), deep rollouts
(`escape`) and kicked restarts (`restarts`). Estimators run on any `TangentMap`: the calls of a model (`NetworkMap`) or
a function of your own (`CallableMap`).
"""

from rrm.dynamics.bases import BasesResult, start_bases
from rrm.dynamics.covariant import CovariantResult, covariant, covariant_features
from rrm.dynamics.differentiable import window_exponents
from rrm.dynamics.dimensions import kaplan_yorke, positive_sum
from rrm.dynamics.escape import EscapeResult, escape, escape_time, relapsed
from rrm.dynamics.jacobian import jacobian_spectrum
from rrm.dynamics.lyapunov import MapSpectrum, Spectrum, default_transient, lyapunov_spectrum, map_spectrum
from rrm.dynamics.measure import choose_batch, measure
from rrm.dynamics.network_map import NetworkMap
from rrm.dynamics.orthonormal import orthonormalize, random_basis
from rrm.dynamics.restarts import Freed, RestartResult, freed, restarts
from rrm.dynamics.result import LyapunovResult, Settings, join_files, join_results, load_result, save_result
from rrm.dynamics.rollout import Rollout, rollout
from rrm.dynamics.singular_values import singular_value_ftle
from rrm.dynamics.stochastic import StochasticResult, stochastic_rollouts
from rrm.dynamics.tangent_map import CallableMap, TangentMap
from rrm.dynamics.twin import TwinResult, max_lyapunov

__all__ = [
    "BasesResult", "CallableMap", "CovariantResult", "EscapeResult", "Freed", "LyapunovResult", "MapSpectrum",
    "NetworkMap", "RestartResult", "Rollout", "Settings", "Spectrum", "StochasticResult", "TangentMap", "TwinResult",
    "choose_batch", "covariant", "covariant_features", "default_transient", "escape", "escape_time", "freed",
    "jacobian_spectrum",
    "join_files", "join_results", "kaplan_yorke", "load_result", "lyapunov_spectrum", "map_spectrum",
    "max_lyapunov", "measure", "orthonormalize", "positive_sum", "random_basis", "relapsed", "restarts",
    "rollout", "save_result", "singular_value_ftle", "start_bases", "stochastic_rollouts", "window_exponents",
]  # fmt: skip
