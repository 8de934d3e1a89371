"""cluster.yaml against Ray's own schema, offline, and what Ray does not check: open ports, secrets, versions."""

import copy
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from rrm.cluster.capacity import autoscaler_limits

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "cluster.yaml").read_text()
CONFIG = yaml.safe_load(TEXT)
WORLD = re.compile(r"\b0\.0\.0\.0\b|(?<![\w:])::(?![\w:])")


def check(config: dict) -> dict:
    """Defaults filled in as `ray up` does, then Ray's schema. Private to Ray, hence in this one place."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    full = prepare_config(copy.deepcopy(config))
    validate_config(full)
    check_closed(full)
    check_token(full)
    return full


def autoscaler_on_the_head(config: dict):
    """The configuration as the autoscaler on the head (v2) reads it. Private to Ray, hence in this one place."""
    from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig

    return AutoscalingConfig(copy.deepcopy(config), skip_content_hash=True)


def commands(config: dict) -> list[str]:
    return [line for name, lines in config.items() if name.endswith("_commands") for line in lines]


def check_closed(config: dict) -> None:
    """Nothing listens for, or lets in, the whole world."""
    for name, node in config["available_node_types"].items():
        # Ray would make a group that lets everybody in by ssh (autoscaler/_private/aws/config.py).
        assert node["node_config"].get("SecurityGroupIds"), f"{name} has no security group of its own"
    assert not WORLD.search(str(config["provider"])), "a rule lets in the whole world"
    for command in commands(config):
        assert not WORLD.search(command), f"listens for the whole world: {command}"
    for option in ("--dashboard-host=127.0.0.1", "mlflow server --host 127.0.0.1"):
        assert any(option in command for command in commands(config)), f"without {option}"


def check_token(config: dict) -> None:
    """Every start of Ray demands the token, which comes from a file outside the repository."""
    for command in commands(config):
        if "ray start" in command:
            assert "RAY_AUTH_MODE=token ray start" in command, f"without a token: {command}"
    assert config["file_mounts"].get("~/.ray/auth_token") == "~/.ray/auth_token", "the token does not reach the nodes"


def test_cluster_yaml_is_what_ray_up_accepts():
    full = check(CONFIG)
    types = full["available_node_types"]
    assert types["head"]["resources"]["CPU"] == 0
    assert types["gpu_worker"]["resources"]["GPU"] == 1 and types["gpu_worker"]["min_workers"] == 0
    assert autoscaler_limits(full) == {"CPU": 128, "GPU": 8}


def test_the_head_can_install_nodes():
    # What RayInstaller asks for.
    config = autoscaler_on_the_head(CONFIG)
    for kind, image in (("head", "head_image"), ("gpu_worker", "worker_image")):
        assert config.get_docker_config(kind)["image"] == CONFIG["docker"][image]
        node = CONFIG["available_node_types"][kind]
        assert config.get_node_resources(kind) == node["resources"]
        assert config.get_provider_instance_type(kind) == node["node_config"]["InstanceType"]
        assert config.get_initialization_commands(kind) == CONFIG["initialization_commands"]
    assert config.get_worker_setup_commands("gpu_worker") == CONFIG["worker_setup_commands"]  # and none of Ray's own
    assert config.get_head_setup_commands() == CONFIG["head_setup_commands"]


def set_group(config: dict, address: str) -> None:
    rules = [{"FromPort": 6379, "ToPort": 6379, "IpProtocol": "tcp", "IpRanges": [{"CidrIp": address}]}]
    config["provider"]["security_group"] = {"IpPermissions": rules}


def replace_in(name: str, old: str, new: str):
    def spoil(config: dict) -> None:
        before = config[name]
        config[name] = [line.replace(old, new) for line in before]
        assert config[name] != before

    return spoil


# name: (what is done to the configuration, the words of the refusal)
MISTAKES = {
    "wrong key": (lambda c: c.update(maxworkers=3), "'maxworkers' was unexpected"),
    "wrong key of a node type": (
        lambda c: c["available_node_types"]["gpu_worker"].update(maxworkers=3),
        "'maxworkers' was unexpected",
    ),
    "wrong type": (lambda c: c.update(max_workers="8"), "'8' is not of type 'integer'"),
    "fraction of a GPU": (
        lambda c: c["available_node_types"]["gpu_worker"]["resources"].update(GPU=0.5),
        "0.5 is not of type 'integer'",
    ),
    "unknown provider": (lambda c: c["provider"].update(type="awz"), "Unsupported node provider: awz"),
    "unknown node type": (lambda c: c.update(head_node_type="nope"), "`head_node_type` must be one of"),
    "more at least than at most": (
        lambda c: c["available_node_types"]["gpu_worker"].update(min_workers=9),
        "smaller than the sum of `min_workers`",
    ),
    "rule for the world": (lambda c: set_group(c, "0.0.0.0/0"), "a rule lets in the whole world"),
    "rule for the world, IPv6": (lambda c: set_group(c, "::/0"), "a rule lets in the whole world"),
    "Ray's own security group": (
        lambda c: c["available_node_types"]["head"]["node_config"].pop("SecurityGroupIds"),
        "head has no security group of its own",
    ),
    "dashboard for the world": (
        replace_in("head_start_ray_commands", "host=127.0.0.1", "host=0.0.0.0"),
        "listens for the whole world: ulimit",
    ),
    "MLflow for the world": (
        replace_in("head_start_ray_commands", "--host 127.0.0.1", "--host 0.0.0.0"),
        "listens for the whole world: up",
    ),
    "MLflow for the world, IPv6": (
        replace_in("head_start_ray_commands", "--host 127.0.0.1", "--host ::"),
        "listens for the whole world: up",
    ),
    "head without token": (
        replace_in("head_start_ray_commands", "RAY_AUTH_MODE=token", ""),
        "without a token: .* --head",
    ),
    "worker without token": (
        replace_in("worker_start_ray_commands", "RAY_AUTH_MODE=token", "RAY_AUTH_MODE=disabled"),
        "without a token: .* --address",
    ),
    "token that does not reach the nodes": (
        lambda c: c["file_mounts"].pop("~/.ray/auth_token"),
        "the token does not reach the nodes",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_caught(mistake):
    spoil, words = MISTAKES[mistake]
    broken = copy.deepcopy(CONFIG)
    spoil(broken)
    with pytest.raises(Exception, match=words):  # Ray raises several types
        check(broken)


def test_versions_are_those_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {(parsed := Requirement(line)).name: parsed for line in project["dependencies"]}
    for name in ("torch", "mlflow"):
        asked = re.findall(rf"'({name}[^']*)'", " ".join(commands(CONFIG)))
        assert asked and all(Requirement(line).specifier == wanted[name].specifier for line in asked)
    for image in (CONFIG["docker"]["head_image"], CONFIG["docker"]["worker_image"]):
        version, major, minor = re.search(r":([\d.]+)-py(\d)(\d+)", image).groups()
        assert version in wanted["ray"].specifier
        assert f"{major}.{minor}" in Requirement(f"python{project['requires-python']}").specifier


def test_what_must_be_filled_in_stands_in_the_guide_and_no_secret_in_the_file():
    placeholders = set(re.findall(r"\b[A-Z_]+_ID\b", TEXT))
    guide = (ROOT / "rrm" / "cluster" / "README.md").read_text()
    assert placeholders == {"AMI_ID", "SECURITY_GROUP_ID", "FILE_SYSTEM_ID"}
    assert all(name in guide for name in placeholders)
    assert not re.search(r"password|://[^/\s]+:[^/\s]+@|AKIA[0-9A-Z]{16}", TEXT, re.IGNORECASE)
