"""Who can reach Ray, who may connect, and how long to wait for nodes that are not there yet."""

import ipaddress
import logging
import os
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from rrm.cluster import session
from rrm.cluster.capacity import Request, autoscaler_limits
from rrm.cluster.session import resources_to_come
from rrm.commands.options import check_storage
from rrm.errors import InputError

LISTEN = "0A"


def descendants(root: int) -> set[int]:
    """`root` and all processes below it."""
    children = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name, in parentheses, may hold spaces.
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(stat.parent.name))
    found, left = set(), [root]
    while left:
        found.add(process := left.pop())
        left += children.get(process, [])
    return found


def listeners(root: int) -> dict[str, set[str]]:
    """{address: names of processes} of all TCP sockets on which `root` and the processes below it listen."""
    addresses = {}
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            local, _, state = line.split()[1:4]
            if state == LISTEN:
                words = bytes.fromhex(local.split(":")[0])
                # Each word of four bytes is in the order of the machine.
                octets = b"".join(words[at : at + 4][:: -1 if sys.byteorder == "little" else 1]
                                  for at in range(0, len(words), 4))  # fmt: skip
                address = ipaddress.ip_address(octets)
                addresses[f"socket:[{line.split()[9]}]"] = getattr(address, "ipv4_mapped", None) or address
    found = {}
    for process in descendants(root):
        for link in Path(f"/proc/{process}/fd").glob("*"):
            with suppress(OSError):  # closed, or the process gone, meanwhile
                if address := addresses.get(os.readlink(link)):
                    name = Path(f"/proc/{process}/comm").read_text().strip()
                    found.setdefault(str(address), set()).add(name)
    return found


def beyond(found: dict[str, set[str]]) -> dict[str, set[str]]:
    return {address: names for address, names in found.items() if not ipaddress.ip_address(address).is_loopback}


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="reads /proc")
def test_ray_listens_on_loopback_alone(cluster):
    import ray

    assert ray.get(ray.remote(lambda: 1).remote(), timeout=120) == 1
    deadline = time.monotonic() + 60
    wanted = {"gcs_server", "raylet", "ray::DashboardA", "ray::RuntimeEnv"}
    while not wanted <= set().union(*listeners(os.getpid()).values()) and time.monotonic() < deadline:
        time.sleep(0.2)
    found = listeners(os.getpid())
    assert wanted <= set().union(*found.values())
    assert not beyond(found)

    with socket.create_server(("0.0.0.0", 0)):
        assert "0.0.0.0" in beyond(listeners(os.getpid()))


def test_the_processes_of_a_local_ray_know_its_address(cluster):
    """With a second Ray on the machine, Ray Train would not find it, and never free what a stopped trial held."""
    import ray

    told = ray.get(ray.remote(lambda: os.environ["RAY_ADDRESS"]).remote(), timeout=120)
    assert told == ray.get_runtime_context().gcs_address
    assert "RAY_ADDRESS" not in os.environ


@pytest.fixture
def somebody():
    """HOST:PORT where something listens that is no Ray."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def connect(address: str, home: Path, **variables: str) -> subprocess.CompletedProcess:
    """A command that connects to `address` from a home without token."""
    code = f"""
from rrm.cluster.session import ray_session
from rrm.errors import exit_on_bad_input

@exit_on_bad_input
def main():
    with ray_session({address!r}, 1, False):
        print("connected")

main()
"""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return subprocess.run(
        [sys.executable, "-c", code], env=kept | {"HOME": str(home)} | variables, capture_output=True, text=True,
        timeout=120, cwd=Path(__file__).parents[2],
    )  # fmt: skip


@pytest.mark.parametrize("variables", [{}, {"RAY_AUTH_TOKEN_PATH": "/nowhere/token"}])
def test_a_cluster_is_not_joined_without_a_token(somebody, tmp_path, variables):
    done = connect(somebody, tmp_path, **variables)
    assert done.returncode == 2 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert somebody in line and "~/.ray/auth_token" in line and "RAY_AUTH_MODE=disabled" in line
    assert not list(tmp_path.iterdir())  # no token was made up


def plan(**changes) -> dict:
    types = {
        "head": {"resources": {"CPU": 0}},
        "large": {"resources": {"CPU": 16, "GPU": 4}, "max_workers": 2},
        "small": {"resources": {"CPU": 32}, "max_workers": 5},
    }
    return {"max_workers": 3, "head_node_type": "head", "available_node_types": types} | changes


def test_autoscaler_limits():
    assert autoscaler_limits(plan()) == {"CPU": 96, "GPU": 8}  # three small ones, two large ones
    assert autoscaler_limits(plan(max_workers=1)) == {"CPU": 32, "GPU": 4}
    assert autoscaler_limits(plan(max_workers=0)) == {"CPU": 0, "GPU": 0}
    assert autoscaler_limits(plan(max_workers=20)) == {"CPU": 2 * 16 + 5 * 32, "GPU": 8}


class Autoscaler:
    """A cluster whose nodes come some polls after they were asked for."""

    def __init__(self, monkeypatch, polls: float, node: dict[str, float]):
        self.requests, self.polls, self.node = [], polls, node
        monkeypatch.setattr("ray.cluster_resources", self.resources)
        monkeypatch.setattr("ray.autoscaler.sdk.request_resources", lambda bundles: self.requests.append(bundles))
        monkeypatch.setattr(session, "POLL_S", 0)

    def resources(self) -> dict[str, float]:
        self.polls -= bool(self.requests)
        return dict(self.node) if self.polls < 0 else {"memory": 1.0}


def write_plan(monkeypatch, folder: Path, text: str) -> None:
    monkeypatch.setattr(session, "PLAN", folder / "plan.yaml")
    session.PLAN.write_text(text)


PLAN = """
{max_workers: 8, head_node_type: head, available_node_types: {
  head: {resources: {CPU: 0}}, gpu: {resources: {CPU: 16, GPU: 1}, min_workers: 0, max_workers: 8}}}
"""


def test_workers_that_scale_from_zero_are_waited_for_and_counted(monkeypatch, tmp_path, capsys):
    write_plan(monkeypatch, tmp_path, PLAN)
    autoscaler = Autoscaler(monkeypatch, 3, {"CPU": 32.0, "GPU": 2.0, "memory": 1.0})
    resources = resources_to_come(2)
    assert resources["CPU"] == 128 and resources["GPU"] == 8
    assert session.trials_at_once(Request(workers=2, gpus=1), resources) == 4
    # The request is taken back: it would keep idle nodes for ever.
    assert autoscaler.requests == [[{"CPU": 1, "GPU": 1.0}] * 2, []]
    assert "waiting for nodes" in capsys.readouterr().out


def test_a_request_beyond_the_largest_cluster_starts_no_node(monkeypatch, tmp_path):
    write_plan(monkeypatch, tmp_path, PLAN)
    autoscaler = Autoscaler(monkeypatch, 3, {})
    with pytest.raises(InputError, match="128 CPU and 8 GPU"):
        resources_to_come(9)
    assert not autoscaler.requests


def test_nodes_that_never_come_are_said_and_no_longer_asked_for(monkeypatch, tmp_path):
    monkeypatch.setattr(session, "PLAN", tmp_path / "none.yaml")
    monkeypatch.setattr(session, "PATIENCE_S", 0)
    autoscaler = Autoscaler(monkeypatch, float("inf"), {})
    with pytest.raises(InputError, match="ray status"):
        resources_to_come(1)
    assert autoscaler.requests == [[{"CPU": 1}], []]


def test_nodes_that_are_there_are_not_asked_for(monkeypatch, tmp_path):
    write_plan(monkeypatch, tmp_path, PLAN)
    autoscaler = Autoscaler(monkeypatch, -1, {"CPU": 16.0, "GPU": 1.0})
    assert resources_to_come(1) == {"CPU": 128, "GPU": 8}
    assert not autoscaler.requests


def test_storage_is_a_folder():
    for storage in ("runs", "/shared/runs", "C:/runs"):
        check_storage(storage)
    with pytest.raises(InputError, match="s3://bucket/runs is not a folder: mount it"):
        check_storage("s3://bucket/runs")


def test_of_unasked_errors_those_of_a_full_disk_alone_are_silenced(cluster, caplog):
    """The command says itself, in one line, that the disk is full; Ray may print every other error."""
    others = ["Unhandled error (suppress with ...): ValueError", "No space left on device"]
    with session.ray_session(None, 1, verbose=False):
        for message in ("Unhandled error (suppress with ...): [Errno 28] No space left on device", *others):
            logging.getLogger("ray._private.worker").error(message)
    assert caplog.messages == others
