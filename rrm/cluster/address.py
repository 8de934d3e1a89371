"""The address of the Ray cluster that a command uses: --address, else RAY_ADDRESS, else a Ray on this machine."""

import os
import re
import socket

from rrm.errors import InputError

VARIABLE = "RAY_ADDRESS"
HOST_AND_PORT = "HOST:6379, as `ray start --head` prints it"
# Schemes of addresses that users give by mistake, and why each is no cluster.
OTHERS = {
    "http": "is that of Ray's dashboard, which takes jobs by `ray job submit`",
    "https": "is that of Ray's dashboard, which takes jobs by `ray job submit`",
    "ray": "is for Ray's client, which runs no sweep",
}


def cluster_address(option: str | None) -> str | None:
    """HOST:PORT or "auto" of the cluster; None for a Ray of this machine alone.

    As in Ray itself, RAY_ADDRESS counts where the option is "auto" or not given.
    """
    address = os.environ.get(VARIABLE) or option if option in (None, "", "auto") else option
    return None if address in (None, "", "local") else address


def named(address: str) -> str:
    """The address with the name of the option or variable from which it comes."""
    return f"{VARIABLE}={address}" if os.environ.get(VARIABLE) == address else f"--address {address}"


def refusal(address: str | None) -> tuple[str, str] | None:
    """(why no cluster is at an address, the way out); None where a process listens there, or where Ray has to search.

    This check takes seconds. Ray itself would try for minutes to connect.
    """
    if address in (None, "auto"):
        return None
    way_out = f"give {HOST_AND_PORT}"
    if os.environ.get(VARIABLE) == address:
        way_out = f"export {VARIABLE}={HOST_AND_PORT}, or unset it for a Ray of this machine alone"
    scheme, separator, _ = address.partition("://")
    if separator:
        return f"{named(address)} {OTHERS.get(scheme.lower(), 'is no HOST:PORT')}", way_out
    if not re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^\s/:\[\]]+):\d{1,5}", address):
        return f"{named(address)} is no HOST:PORT", way_out
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except (OSError, OverflowError, UnicodeError) as error:
        return f"no Ray cluster answers at {named(address)} ({error})", f"start it, or {way_out}"
    return None


def check_address(option: str | None) -> None:
    """InputError where the option or the variable names no cluster."""
    if reason := refusal(cluster_address(option)):
        raise InputError(": ".join(reason))
