"""One Ray for the whole test session."""

import os

import pytest

from rrm.cluster.session import loopback

for name, value in {
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}.items():
    os.environ.setdefault(name, value)


@pytest.fixture(scope="session")
def cluster():
    """A local Ray with two CPUs; -> its resources."""
    import ray

    with loopback():
        ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR",
                 object_store_memory=200 * 2**20)  # fmt: skip
    yield ray.cluster_resources()
    ray.shutdown()
