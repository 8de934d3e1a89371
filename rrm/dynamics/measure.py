"""Stability of a trained model on a set of puzzles: spectra, drift, confidence and outcome of the same rollouts."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from rrm.dynamics.covariant import covariant, covariant_features
from rrm.dynamics.lyapunov import Spectrum, lyapunov_spectrum
from rrm.dynamics.network_map import NetworkMap
from rrm.dynamics.readings import readings
from rrm.dynamics.result import COVARIANT_FEATURES, LyapunovResult, Settings, join_results
from rrm.dynamics.shards import row_batches
from rrm.models import RecursiveModel
from rrm.tasks.base import PuzzleSet, Task

# Rows whose tangents are pushed together: enough to fill the products, few enough to stay in a CPU's cache; on an
# accelerator as many as half its memory holds, up to the larger number.
BATCH, ACCELERATOR_BATCH = 16, 256
_CPU_BYTES = 2 << 30


def choose_batch(model: RecursiveModel, k: int, share: float = 1.0) -> int:
    """How many rows with k tangents each to push together on the model's device: a power of two.

    On an accelerator the number depends on its free memory, of which this task may take `share`; on a CPU it is the
    same on every machine.
    """
    device = next(model.parameters()).device
    # Tangents are held about five times in their own precision and twice in float64; slopes are small beside them.
    row = model.state_size * (k * (5 * 4 + 2 * 8) + 64 * 4)
    most, room = (BATCH, _CPU_BYTES) if device.type == "cpu" else (ACCELERATOR_BATCH, torch.cuda.mem_get_info()[0] // 2)
    return 1 << max(0, min(most, int(share * room) // row).bit_length() - 1)


def measure(
    model: RecursiveModel,
    puzzles: PuzzleSet,
    task: Task,
    settings: Settings,
    index: np.ndarray | None = None,
    progress: Callable[[int], None] = lambda rows: None,
    *,
    keep_local: bool = False,
    keep_covariant: bool = False,
) -> LyapunovResult:
    """Measure every puzzle under `settings`.

    Batches have a fixed size (`settings.batch`, the last one filled up with copies) and order, so that the result does
    not depend on who computes which shard.

    Args:
        model: the network, on its device and in the precision of the settings.
        puzzles: the data set.
        task: its verifier.
        settings: of the measurement.
        index: positions of the puzzles to measure; default: all.
        progress: is called with the number of puzzles of each finished batch.
        keep_local: add the local exponents.
        keep_covariant: add the features of covariant vectors, at the price of a second spectrum over one and a half
            times the window.

    Raises:
        ValueError: settings that do not describe the model; as `lyapunov_spectrum` and `row_batches`.
    """
    _check(model, settings)
    parts = []
    for rows in row_batches(puzzles, index, settings.batch):
        batch = puzzles.subset(rows)
        part = _measure_batch(model, batch, task, settings, rows, keep_local)
        parts.append(replace(part, covariant=_covariant(model, batch, settings)) if keep_covariant else part)
        progress(len(rows))
    return join_results(parts)


def _check(model: RecursiveModel, settings: Settings) -> None:
    """ValueError for settings that do not describe the model."""
    weight = next(model.parameters())
    found = {
        "calls_per_segment": len(model.segment_calls),
        "precision": "float64" if weight.dtype == torch.float64 else "float32",
        "device": weight.device.type,
    }
    for name, value in found.items():
        if (said := getattr(settings, name)) != value:
            raise ValueError(f"settings say {name} = {said!r}, the model has {value!r}: describe what is measured")


def _filled(puzzles: PuzzleSet, settings: Settings) -> dict[str, np.ndarray]:
    """The batch, filled up to its full size with copies of its last puzzle."""
    return puzzles.subset(np.minimum(np.arange(settings.batch), len(puzzles) - 1)).arrays


def _covariant(model: RecursiveModel, puzzles: PuzzleSet, settings: Settings) -> np.ndarray:
    """[N, m] float32, the features of COVARIANT_FEATURES over the whole window; the rollout runs half as long again."""
    system = NetworkMap(
        model,
        _filled(puzzles, settings),
        seed=settings.seed,
        wide_tangents=settings.tangent_precision != settings.precision,
        compiled=settings.backend == "compiled",
    )
    calls = settings.calls_per_segment
    steps = settings.segments * calls
    beyond = -(-settings.segments // 2) * calls
    found = covariant(
        system, settings.k, steps, transient=0, backward_transient=beyond, seed=settings.seed,
        vectors_at=range(calls, steps + 1, calls),
    )  # fmt: skip
    features = covariant_features(found, system.half_shape)
    return torch.stack([features[name] for name in COVARIANT_FEATURES], 1)[: len(puzzles)].float().cpu().numpy()


def _measure_batch(
    model: RecursiveModel, puzzles: PuzzleSet, task: Task, settings: Settings, rows: np.ndarray, keep_local: bool
) -> LyapunovResult:
    spectrum = lyapunov_spectrum(
        model,
        _filled(puzzles, settings),
        settings.k,
        settings.segments,
        seed=settings.seed,
        qr_every=settings.qr_every,
        transient=settings.transient,
        wide_tangents=settings.tangent_precision != settings.precision,
        compiled=settings.backend == "compiled",
    )
    return _rows(spectrum, puzzles, task, settings, rows, keep_local)


def _rows(
    spectrum: Spectrum,
    puzzles: PuzzleSet,
    task: Task,
    settings: Settings,
    rows: np.ndarray,
    keep_local: bool,
) -> LyapunovResult:
    """The result of the puzzles at `rows`, the first ones of the filled batch."""
    count, roll = len(rows), spectrum.rollout.rows(len(rows))
    read = readings(roll, puzzles, task)
    finite = (spectrum.finite[:count] & roll.logits.isfinite().flatten(2).all(2).all(0)).cpu().numpy()
    solved_at = read["solved"] & finite[:, None]
    q_halt = torch.full_like(roll.drift_H, float("nan")) if roll.q_halt is None else roll.q_halt
    log_R = spectrum.log_R[:, :count]
    by_segment = log_R.unflatten(0, (settings.segments, -1)).sum(1)

    def by_row(values: torch.Tensor) -> np.ndarray:
        return np.ascontiguousarray(values.transpose(0, 1).float().cpu().numpy())

    return LyapunovResult(
        settings=settings,
        index=rows.astype(np.int64),
        lambda_per_call=spectrum.lambda_per_call[:count].cpu().numpy(),
        lambda_per_segment=spectrum.lambda_per_segment[:count].cpu().numpy(),
        drift_H=by_row(roll.drift_H),
        drift_L=by_row(roll.drift_L),
        q_halt=by_row(q_halt),
        solved=solved_at[:, -1],
        cells=read["cells"][:, -1],
        violations=read["violations"][:, -1],
        lambda_segments=by_row(by_segment),
        solved_at=solved_at,
        margin=read["margin"],
        entropy=read["entropy"],
        finite=finite,
        floored=spectrum.floored[:count].cpu().numpy().astype(np.int32),
        local=by_row(log_R) if keep_local else None,
    )
