"""cluster.yaml against Ray's own schema, offline."""

import copy
from pathlib import Path

import pytest
import yaml

CONFIG = yaml.safe_load((Path(__file__).resolve().parents[2] / "cluster.yaml").read_text())


def check(config: dict) -> dict:
    """Defaults filled in as `ray up` does, then Ray's schema. Private to Ray, hence in this one place."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    full = prepare_config(copy.deepcopy(config))
    validate_config(full)
    return full


def test_cluster_yaml_is_what_ray_up_accepts():
    types = check(CONFIG)["available_node_types"]
    assert types["head"]["resources"]["CPU"] == 0
    assert types["gpu_worker"]["resources"]["GPU"] == 1 and types["gpu_worker"]["min_workers"] == 0


@pytest.mark.parametrize(
    "spoil",
    [
        lambda c: c.update(maxworkers=3),
        lambda c: c["provider"].update(type="awz"),
        lambda c: c.update(head_node_type="nope"),
        lambda c: c["available_node_types"]["gpu_worker"].update(min_workers=9),
    ],
)
def test_a_mistake_is_caught(spoil):
    broken = copy.deepcopy(CONFIG)
    spoil(broken)
    with pytest.raises(Exception):  # noqa: B017 - Ray raises several types
        check(broken)
