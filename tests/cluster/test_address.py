"""The cluster that an option or the environment names, and Ray's folder."""

import os
import socket
from pathlib import Path

import pytest

from rrm.cluster import temporary
from rrm.cluster.address import check_address, cluster_address
from rrm.cluster.doctor import cluster
from rrm.cluster.temporary import LONGEST_SOCKET, obstacle, ray_folder, socket_length
from rrm.doctor import Setting
from rrm.errors import InputError


def test_the_option_goes_before_the_variable(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert cluster_address(None) == cluster_address("auto") == "10.0.0.1:6379"  # as Ray reads auto
    assert cluster_address("host:1") == "host:1" and cluster_address("local") is None
    monkeypatch.setenv("RAY_ADDRESS", "")
    assert cluster_address(None) is None and cluster_address("auto") == "auto"
    monkeypatch.setenv("RAY_ADDRESS", "local")
    assert cluster_address(None) is None


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("http://127.0.0.1:8265", "is that of Ray's dashboard"),
        ("ray://127.0.0.1:10001", "is for Ray's client"),
        ("redis://127.0.0.1:6379", "is no HOST:PORT"),
        ("127.0.0.1", "is no HOST:PORT"),
        ("127.0.0.1:port", "is no HOST:PORT"),
        ("127.0.0.1:99999", "no Ray cluster answers"),
        ("127.0.0.1:1", "no Ray cluster answers"),
    ],
)
@pytest.mark.parametrize("by", ["option", "variable"])
def test_addresses_of_a_wrong_kind(monkeypatch, address, words, by):
    if by == "variable":
        monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(InputError) as refused:
        check_address(address if by == "option" else None)
    line = str(refused.value)
    assert words in line and "HOST:6379" in line and "\n" not in line
    assert (f"RAY_ADDRESS={address}" in line) == ("unset it" in line) == (by == "variable")
    assert (f"--address {address}" in line) == (by == "option")
    (finding,) = cluster(Setting(Path("/"), "", cluster_address(address)))
    assert finding.level == "fail" and line.startswith(finding.found) and line.endswith(finding.cure)


def test_an_address_at_which_something_listens_is_left_to_ray(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{server.getsockname()[1]}")
        check_address(None)
    check_address("auto" if not os.environ["RAY_ADDRESS"] else "local")


@pytest.fixture
def variables(monkeypatch):
    def set_to(**folders):
        for name in ("RAY_TMPDIR", "TMPDIR"):
            monkeypatch.delenv(name, raising=False)
        for name, folder in folders.items():
            monkeypatch.setenv(name, str(folder))

    return set_to


def test_ray_gets_a_folder_whose_sockets_fit(variables, tmp_path, monkeypatch):
    variables()
    assert ray_folder() == Path("/tmp")
    variables(TMPDIR="/dev/shm")
    assert ray_folder() == Path("/dev/shm")
    long = tmp_path / ("x" * (90 - len(str(tmp_path))))
    long.mkdir()
    (tmp_path / "file").touch()
    assert len(str(long)) >= 90 and socket_length(long) > LONGEST_SOCKET
    for folder in (long, "/proc/x", tmp_path / "file"):
        variables(TMPDIR=folder)
        assert ray_folder() == Path("/tmp")
        variables(RAY_TMPDIR=folder, TMPDIR="/dev/shm")
        assert ray_folder() == Path("/tmp")
    monkeypatch.setattr(temporary, "SHORT", ())
    with pytest.raises(InputError, match="export RAY_TMPDIR=SHORT_FOLDER"):
        ray_folder()


def test_the_length_that_ray_itself_refuses():
    """The longest folder that passes here makes the longest path of a socket that the system takes."""
    room = LONGEST_SOCKET - socket_length(Path("/"))
    assert obstacle(Path("/" + "x" * (room - 1))) is None and obstacle(Path("/" + "x" * room))
