"""Connecting to Ray, and whether what is asked for fits what is there."""

import logging
import os
import socket
import sys
from contextlib import contextmanager
from dataclasses import dataclass

from rrm.errors import InputError


@dataclass(frozen=True)
class Request:
    """Resources of one trial or task: `workers` processes of `cpus` CPUs and `gpus` GPUs each, `at_most` at a time."""

    workers: int = 1
    cpus: float = 1
    gpus: float = 0
    at_most: int | None = None

    def __str__(self) -> str:
        gpu = f" + {self.gpus:g} GPU" if self.gpus else ""
        return f"{self.workers} x ({self.cpus:g} CPU{gpu})"


def trials_at_once(request: Request, resources: dict[str, float]) -> int:
    """How many trials the cluster holds at once; InputError that states both sides when it holds none.

    A request that does not fit is not an error to Ray: it would wait for ever, in silence.
    """
    room = resources.get("CPU", 0) / (request.workers * request.cpus)
    if request.gpus:
        room = min(room, resources.get("GPU", 0) / (request.workers * request.gpus))
    if room + 1e-9 < 1:
        raise InputError(
            f"a trial needs {request}, the cluster has {resources.get('CPU', 0):g} CPU and "
            f"{resources.get('GPU', 0):g} GPU: lower --workers-per-trial or add nodes"
        )
    return min(int(room + 1e-9), request.at_most or sys.maxsize)


def _check_reachable(address: str | None) -> None:
    """Refuse a HOST:PORT where nothing listens; Ray itself would knock for minutes."""
    host, separator, port = (address or "").rpartition(":")
    if not separator or "/" in host:
        return
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, ValueError) as error:
        raise InputError(f"no Ray cluster answers at --address {address} ({error}): start it or correct it") from None


@contextmanager
def ray_session(address: str | None, request_workers: int, verbose: bool):
    """Connect to the cluster at `address`, or start a local one for the length of the block; yields its resources."""
    if address is None:
        # Refused before Ray starts: nothing has happened yet.
        trials_at_once(Request(workers=request_workers), {"CPU": os.cpu_count() or 1})
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    for name, value in {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",  # Train hears its workers' reports once per such interval
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "TUNE_GLOBAL_CHECKPOINT_S": "2",
        "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
        "RAY_AIR_NEW_OUTPUT": "0",
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    }.items():
        os.environ.setdefault(name, value)
    _check_reachable(address)
    import ray

    if not verbose:
        for name in ("ray", "ray.tune", "ray.train", "ray.data"):
            logging.getLogger(name).setLevel(logging.ERROR)
    started = not ray.is_initialized()
    if started:
        try:
            ray.init(
                address=address,
                log_to_driver=verbose,
                logging_level=logging.INFO if verbose else logging.ERROR,
                # A Train job cleans up after itself through the dashboard; plain trials do without it.
                **({} if address else {"include_dashboard": request_workers > 1}),
            )
        except ConnectionError as error:
            reason = str(error).splitlines()[0][:200]
            raise InputError(f"no Ray cluster answers at --address {address} ({reason})") from None
    try:
        yield ray.cluster_resources()
    finally:
        if started:
            ray.shutdown()
