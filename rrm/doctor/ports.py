"""Ports that the platform uses, and servers of ours that others can reach."""

import errno
import socket
from collections import defaultdict
from collections.abc import Iterator

from rrm.doctor.finding import Finding, Setting, fail, ok, warn
from rrm.doctor.processes import Listener, Process, listeners, own_processes

# Port: (the server that uses it by default, the way out where another program holds the port).
PORTS = {
    8265: ("Ray", "Ray takes the next free port for its dashboard; name it with `ray start --dashboard-port`"),
    6379: ("Ray", "`ray start --head --port` with another one, and that one in --address"),
    5050: ("MLflow", "`mlflow ui --port` with another one"),
}


def ports(setting: Setting) -> Iterator[Finding]:
    """The default ports of Ray and MLflow on 127.0.0.1: free, or whose?"""
    held = {listener.port: listener for listener in listeners(own_processes())}
    said = []
    for port, (kind, cure) in PORTS.items():
        listener = held.get(port)
        if listener is None and _free(port):
            said.append(f"{port} free")
        elif listener is not None and listener.process is not None and listener.process.kind == kind:
            said.append(f"{port} {kind} (process {listener.process.pid})")
        else:
            process = listener.process if listener else None
            who = f"{process.name} (process {process.pid})" if process else "another program"
            yield warn(f"port {port} is taken by {who}", f"{kind} cannot listen there", cure)
    if said:
        yield ok(", ".join(said))


def _free(port: int) -> bool:
    with socket.socket() as attempt:
        # Otherwise connections that were closed a minute ago would count.
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind(("127.0.0.1", port))
        except OSError as error:
            return error.errno != errno.EADDRINUSE
        return True


def exposed(setting: Setting) -> Iterator[Finding]:
    """Servers of Ray and MLflow that other machines can reach and that ask for no password."""
    processes = own_processes()
    yield from judge_exposure(listeners(processes), processes)


def judge_exposure(listening: list[Listener], processes: dict[int, Process]) -> Iterator[Finding]:
    """A finding for each Ray session and each MLflow server among the listeners, one in all where nothing is open."""
    groups: dict[tuple[str, str], list[Listener]] = defaultdict(list)
    for listener in listening:
        if (process := listener.process) and process.kind and listener.open_to_others:
            if not _asks_for_password(process, processes):
                groups[process.kind, _root(process, processes)].append(listener)
    for (kind, root), group in groups.items():
        where = ", ".join(sorted({f"{one.address}:{one.port}" for one in group})[:3])
        found = f"{kind} ({root}) listens on {where}" + (f" and {len(group) - 3} more" if len(group) > 3 else "")
        if kind == "Ray":
            yield fail(
                found,
                "without a token anyone who reaches these ports runs code as you",
                "end it and start again with `export RAY_AUTH_MODE=token`, or close the ports by a firewall",
            )
        else:
            yield fail(
                found,
                "anyone who reaches this port reads and deletes runs",
                "restart it with --host 127.0.0.1, or with --app-name basic-auth",
            )
    if not groups:
        yield ok("no Ray or MLflow server without authentication is open to other machines")


def _root(process: Process, processes: dict[int, Process]) -> str:
    """The owner of a server: the session of Ray that its topmost process names, or that process."""
    while (parent := processes.get(process.parent)) and parent.kind == process.kind:
        process = parent
    return process.session or f"process {process.pid}"


def _asks_for_password(process: Process, processes: dict[int, Process]) -> bool:
    if process.kind == "MLflow":
        return "basic-auth" in process.words or "--app-name=basic-auth" in process.words
    # Workers overwrite their environment with their title; the environment of their raylet is whole.
    while process.words[0].startswith("ray::") and process.parent in processes:
        process = processes[process.parent]
    return process.environment().get("RAY_AUTH_MODE", "").lower() == "token"
