"""Rollouts of a recursive model and the finite-time Lyapunov spectra of their trajectories.

    roll = rollout(model, batch, segments=16)
    spectrum = lyapunov_spectrum(model, batch, k=8, segments=16)
"""

from rrm.dynamics.lyapunov import MapSpectrum, Spectrum, lyapunov_spectrum, map_spectrum
from rrm.dynamics.measure import measure
from rrm.dynamics.orthonormal import orthonormalize, random_basis
from rrm.dynamics.result import LyapunovResult, Settings, join_results, load_result, save_result
from rrm.dynamics.rollout import Rollout, rollout

__all__ = [
    "LyapunovResult", "MapSpectrum", "Rollout", "Settings", "Spectrum", "join_results", "load_result",
    "lyapunov_spectrum", "map_spectrum", "measure", "orthonormalize", "random_basis", "rollout", "save_result",
]  # fmt: skip
