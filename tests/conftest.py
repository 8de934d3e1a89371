"""Shared fixtures. The environment is set before ray is imported anywhere."""

import os

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


def load_reference(name: str, size: str = "small") -> dict:
    """Reference numbers of a public implementation (`tests.models.agreement`). Skips where large ones are absent."""
    from tests.models.agreement import read_reference, reference_file

    path = reference_file(name, size)
    if size == "large" and not path.exists():
        pytest.skip(f"reference numbers of a larger {name} are not beside the repository")
    return read_reference(path)


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
