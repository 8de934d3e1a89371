"""Rollouts of a recursive model and the finite-time Lyapunov spectra of their trajectories.

    roll = rollout(model, batch, segments=16)
    spectrum = lyapunov_spectrum(model, batch, k=8, segments=16)
"""

from rrm.dynamics.escape import EscapeResult, escape, escape_time, relapsed
from rrm.dynamics.lyapunov import MapSpectrum, Spectrum, lyapunov_spectrum, map_spectrum
from rrm.dynamics.measure import choose_batch, measure
from rrm.dynamics.network_map import NetworkMap
from rrm.dynamics.orthonormal import orthonormalize, random_basis
from rrm.dynamics.restarts import RestartResult, freed, restarts
from rrm.dynamics.result import LyapunovResult, Settings, join_files, join_results, load_result, save_result
from rrm.dynamics.rollout import Rollout, rollout
from rrm.dynamics.tangent_map import CallableMap, TangentMap

__all__ = [
    "CallableMap", "EscapeResult", "LyapunovResult", "MapSpectrum", "NetworkMap", "RestartResult", "Rollout",
    "Settings", "Spectrum", "TangentMap", "choose_batch", "escape", "escape_time", "freed", "join_files",
    "join_results", "load_result", "lyapunov_spectrum", "map_spectrum", "measure", "orthonormalize",
    "random_basis", "relapsed", "restarts", "rollout", "save_result",
]  # fmt: skip
