"""Rollouts of a recursive model and the finite-time Lyapunov spectra of their trajectories.

    roll = rollout(model, batch, segments=16)
    spectrum = lyapunov_spectrum(model, batch, k=8, segments=16)

The names below are what a script or a notebook needs. Result classes and parts are in the files of their subject.
"""

from rrm.dynamics.covariant import covariant, covariant_features
from rrm.dynamics.differentiable import window_exponents
from rrm.dynamics.dimensions import kaplan_yorke, positive_sum
from rrm.dynamics.escape import escape, escape_time
from rrm.dynamics.jacobian import jacobian_spectrum
from rrm.dynamics.lyapunov import default_transient, factorizations, lyapunov_spectrum, map_spectrum
from rrm.dynamics.measure import measure
from rrm.dynamics.network_map import NetworkMap
from rrm.dynamics.restarts import restarts
from rrm.dynamics.result import LyapunovResult, Settings, load_result, save_result
from rrm.dynamics.rollout import rollout
from rrm.dynamics.sampling import SamplingNoise, sample_answers
from rrm.dynamics.singular_values import singular_value_ftle
from rrm.dynamics.stochastic import stochastic_rollouts
from rrm.dynamics.tangent_map import CallableMap, TangentMap
from rrm.dynamics.twin import max_lyapunov

__all__ = [
    "CallableMap", "LyapunovResult", "NetworkMap", "SamplingNoise", "Settings", "TangentMap", "covariant",
    "covariant_features", "default_transient", "escape", "escape_time", "factorizations", "jacobian_spectrum",
    "kaplan_yorke", "load_result", "lyapunov_spectrum", "map_spectrum", "max_lyapunov", "measure", "positive_sum",
    "restarts", "rollout", "sample_answers", "save_result", "singular_value_ftle", "stochastic_rollouts",
    "window_exponents",
]  # fmt: skip
