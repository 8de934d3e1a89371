"""Checks of Ray: its sessions on this machine, the jobs in the storage folder, and the named cluster."""

import os
import platform
import re
import shlex
import stat
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from rrm.cluster.address import named
from rrm.cluster.address import refusal as no_cluster
from rrm.cluster.roll_call import ask
from rrm.cluster.temporary import LONGEST_SOCKET, obstacle, ray_folder, socket_length, wished_folder
from rrm.doctor import Finding, Setting, fail, ok, warn
from rrm.doctor.processes import Process, own_processes
from rrm.doctor.storage import claimed, nearest, refusal
from rrm.errors import InputError
from rrm.tracking.doctor import job_statuses

SHORTER = "export RAY_TMPDIR=/tmp, or another short path that you may write to"


def sockets(setting: Setting) -> Iterator[Finding]:
    """The folder of a local Ray, and the length of the paths of its sockets: the system takes about a hundred bytes."""
    wished = wished_folder()
    try:
        folder = ray_folder()
    except InputError:
        yield fail(f"Ray cannot keep its files in {wished}: {obstacle(wished)}", "Ray does not start", SHORTER)
        return
    if folder != wished:
        yield warn(
            f"Ray cannot keep its files in {wished}: {obstacle(wished)}",
            f"a sweep keeps them in {folder / 'ray'}",
            SHORTER,
        )
    else:
        yield ok(f"{folder / 'ray'}, paths of {socket_length(folder)} of {LONGEST_SOCKET} bytes")


def sessions(setting: Setting) -> Iterator[Finding]:
    """Ray's sessions on this machine: running ones, processes that ended ones have left, and folders."""
    processes = own_processes()
    groups = defaultdict(list)
    for process in processes.values():
        if process.kind == "Ray" and process.session:
            groups[process.session].append(process)
        elif process.words[0].startswith("ray::") and not _is_ray(processes.get(process.parent)):
            groups["its raylet is gone"].append(process)  # a worker does not name its session, and ends with its raylet
    # A running node has a raylet. A live driver without one is about to start it, or to end the other processes.
    ended = {name: those for name, those in groups.items() if not _runs(name, those)}
    folder = _ray_files()
    old = [path for path in folder.glob("session_2*") if path.name not in groups] if folder.is_dir() else []
    size = sum(_size(path) for path in old)
    for name, those in ended.items():
        pids = " ".join(str(process.pid) for process in those)
        yield warn(
            f"{len(those)} processes of a session without a driver, {name}: {pids}",
            "they take memory and ports",
            f"wait two minutes, as most leave by themselves; then kill {pids}",
        )
    found = f"running: {len(groups) - len(ended)}; {len(old)} folders of ended ones in {folder}, {size / 1e9:.1f} GB"
    if size > 5e9:
        yield warn(found, "logs and spilled objects fill the disk", "delete the folders of the days before")
    else:
        yield ok(found)


def _ray_files() -> Path:
    try:
        return ray_folder() / "ray"
    except InputError:
        return wished_folder() / "ray"


def _is_ray(process: Process | None) -> bool:
    return process is not None and process.kind == "Ray"


def _size(folder: Path) -> int:
    """Bytes of the files below a folder that may be deleted meanwhile."""
    total = 0
    for base, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(base, name)).st_size
            except OSError:
                continue
    return total


def _runs(name: str, processes: list[Process]) -> bool:
    driver = Path("/proc", name.rpartition("_")[2])
    return driver.exists() or any(Path(process.words[0]).name == "raylet" for process in processes)


def jobs(setting: Setting) -> Iterator[Finding]:
    """Sweeps and studies in the storage folder: in use, interrupted or finished."""
    states = defaultdict(list)
    statuses = job_statuses(setting)
    for record in sorted((*setting.storage.glob("*/sweep.json"), *setting.storage.glob("*/study.json"))):
        name, kind = record.parent.name, record.stem
        if claimed(record.parent):
            states["in use"].append(name)
        elif statuses is None or name not in statuses:
            states["not known to this store"].append(name)
        elif statuses[name] == "FINISHED":
            states["finished"].append(name)
        else:
            yield warn(
                f"the {kind} {name} was interrupted",
                "its results are incomplete",
                f"run the command that started it again with --resume (its arguments are in {record})",
            )
    if states:
        yield ok("; ".join(f"{state}: {', '.join(names)}" for state, names in states.items()))
    else:
        yield ok(f"none in {setting.storage}")


def token(setting: Setting) -> Iterator[Finding]:
    """The token of a cluster: it exists where it is needed, and other users cannot read it."""
    mode = os.environ.get("RAY_AUTH_MODE", "")
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or "~/.ray/auth_token").expanduser()
    quoted = shlex.quote(str(path))
    if mode not in ("", "token", "disabled"):
        yield fail(f"RAY_AUTH_MODE={mode}", "Ray does not know this mode", "export RAY_AUTH_MODE=token, or disabled")
    elif path.exists() and _others_read(path):
        yield fail(
            f"{path} can be read by other users",
            "who has the token runs code as you on the cluster",
            # Ray generates no token where a file exists.
            f"chmod 600 {quoted}; on a shared machine make a new one: rm {quoted} && ray get-auth-token --generate > "
            f"/dev/null && chmod 600 {quoted}",
        )
    elif mode != "disabled" and setting.address and not os.environ.get("RAY_AUTH_TOKEN") and not path.exists():
        yield fail(
            f"RAY_AUTH_MODE={mode or 'unset'}, and neither RAY_AUTH_TOKEN nor {path} is there",
            "the cluster refuses everything with 401",
            "copy the token of the head node into that file, mode 600",
        )
    else:
        source = "RAY_AUTH_TOKEN" if os.environ.get("RAY_AUTH_TOKEN") else str(path) if path.exists() else "no token"
        yield ok(f"RAY_AUTH_MODE={mode or 'unset'}, {source}")


def _others_read(path: Path) -> bool:
    """Whether the mode of a file and of the folders above it let other users read it."""
    if not path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        return False
    return all(folder.stat().st_mode & (stat.S_IXGRP | stat.S_IXOTH) for folder in path.resolve().parents)


def cluster(setting: Setting) -> Iterator[Finding]:
    """The named cluster: does it answer, has every node the versions of this machine, and does it see the storage?"""
    if setting.address is None:
        return
    if reason := no_cluster(setting.address):
        found, way_out = reason
        yield fail(found, "nothing can run there", way_out)
        return
    base = nearest(setting.storage)
    with tempfile.NamedTemporaryFile(prefix=".rrm-doctor-", dir=None if refusal(base) else base) as marker:
        answer = ask(setting.address, marker.name, timeout=90)
    if "error" in answer:
        yield _no_answer(setting.address, answer["error"])
        return
    resources = answer["resources"]
    yield ok(
        f"{setting.address} has {len(answer['nodes'])} nodes, {resources.get('CPU', 0):g} CPU, "
        f"{resources.get('GPU', 0):g} GPU"
    )
    for node in answer["nodes"]:
        yield from judge_node(node, base)


def _no_answer(address: str, reason: str) -> Finding:
    means = "nothing can run there"
    if re.search(r"401|unauthenticated|authentication|token", reason, re.IGNORECASE):
        return fail(
            f"{address} refuses this client ({reason})",
            means,
            "set RAY_AUTH_MODE=token here as on the head node, and copy its token into ~/.ray/auth_token, mode 600",
        )
    if "ersion mismatch" in reason:
        return fail(
            f"{address} is of other versions ({reason})",
            means,
            "install the same Ray and the same Python here and on the nodes",
        )
    return fail(
        f"{named(address)} does not answer ({reason})",
        means,
        "start it (`ray start --head` or `ray up cluster.yaml`), correct the address, open its port to this machine, "
        "or copy ~/.ray/auth_token from its head",
    )


def judge_node(node: dict, base: Path) -> Iterator[Finding]:
    """One finding for each problem of a node, as `ask` describes it; one finding in all where there is none."""
    name = node["node"]
    if "error" in node:
        yield fail(
            f"{name} runs no task ({node['error']})",
            "trials that are sent there hang or fail",
            "see `ray status` and the node's logs in /tmp/ray/session_latest/logs",
        )
        return
    troubles = []
    here = {"python": platform.python_version()} | {
        part: metadata.version(part) for part in ("ray", "torch", "numpy", "rrm")
    }
    for part, version in here.items():
        if node[part] is None:
            troubles.append(
                fail(f"{name} has no {part}", "trials cannot start there", f"install {part} {version} there")
            )
        elif _release(node[part]) != _release(version):
            level = fail if part in ("ray", "rrm") or node[part].split(".")[:2] != version.split(".")[:2] else warn
            troubles.append(
                level(
                    f"{name} has {part} {node[part]}, here is {version}",
                    "what one pickles the other may not read",
                    "install the same version on all nodes",
                )
            )
    if not node["sees"]:
        troubles.append(
            fail(
                f"{name} does not see {base}",
                "its checkpoints and results would be lost",
                "mount one file system at the same path on all nodes and name it by --storage",
            )
        )
    if node["behind_s"] > 3:
        troubles.append(
            warn(
                f"the clock of {name} is off by {node['behind_s']:.0f} s or more",
                "times in MLflow and logs disagree, and tokens may count as expired",
                "run chrony or ntpd on all nodes",
            )
        )
    yield from troubles or [ok(f"{name} ({node['host']}): same versions, sees {base}, clock agrees")]


def _release(version: str) -> str:
    """A version without the build after its + (cpu, cu126): builds of one version read each other's pickles."""
    return version.partition("+")[0]


def local_task(setting: Setting) -> Iterator[Finding]:
    """A local Ray as a sweep starts it, with one task."""
    with tempfile.NamedTemporaryFile() as marker:
        answer = ask(None, marker.name, timeout=180)
    if "error" in answer or any("error" in node for node in answer["nodes"]):
        reason = answer.get("error") or answer["nodes"][0]["error"]
        yield fail(
            f"a local Ray runs no task ({reason})",
            "no sweep or study can run",
            "where `load` warns, wait until the machine is less busy, as Ray gives its agent 15 s to start; else see "
            f"the logs in {_ray_files()}/session_latest/logs",
        )
    else:
        yield ok(f"a local Ray with {answer['resources'].get('CPU', 0):g} CPU runs a task")
