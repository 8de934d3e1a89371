"""Shared fixtures. The environment is set before ray is imported anywhere."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

# Tests write to stores and clusters of their own, whatever the developer's shell names.
for variable in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "RAY_ADDRESS"):
    os.environ.pop(variable, None)
for variable, value in {
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}.items():
    os.environ.setdefault(variable, value)

SHARED = Path(__file__).resolve().parents[2] / "shared"
# Numbers of the public implementations: of small networks in the repository, of larger ones where they lie beside it.
REFERENCES = {"small": Path(__file__).parent / "models" / "reference", "large": SHARED / "reference"}


def load_reference(name: str, size: str = "small") -> dict:
    """Reference numbers of a public implementation, {"config": dict, "state": {...}, other keys}.

    They were written by the unmodified public code in float32 on a CPU, with random weights; the exponents by forward
    mode through it and QR in float64 after every call. Skips where large ones are absent.
    """
    path = REFERENCES[size] / f"{name}.npz"
    if size == "large" and not path.exists():
        pytest.skip(f"reference numbers of a larger {name} are not beside the repository")
    with np.load(path) as file:
        values = {key: file[key] for key in file.files}
    values["config"] = json.loads(bytes(values["config"]).decode())
    values["state"] = {key.removeprefix("state/"): v for key, v in values.items() if key.startswith("state/")}
    values["batch"] = {key: values[key] for key in ("inputs", "labels", "puzzle_identifiers")}
    return values


@pytest.fixture
def reference():
    return load_reference


@pytest.fixture(scope="session")
def cluster():
    """A local Ray with two CPUs, one for the whole session; -> its resources."""
    import ray

    from rrm.cluster.session import loopback

    with loopback():
        ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR",
                 object_store_memory=200 * 2**20)  # fmt: skip
    yield ray.cluster_resources()
    ray.shutdown()
