"""Versions, clock and storage of every node of a Ray cluster, as the node reports them.

The module runs in a process of its own: against a cluster that refuses it, Ray may try for minutes to connect, or end
the process.
"""

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

PACKAGES = ("ray", "torch", "numpy", "rrm")


def ask(address: str | None, marker: str, timeout: float) -> dict:
    """{"resources": {...}, "nodes": [...]} of the cluster at `address` (None: a local Ray), or {"error": reason}.

    A node: {"node": its address, "host", "python", the version of each of PACKAGES (None where it is not installed),
    "sees": whether the file `marker` exists there, "behind_s": a lower bound of the difference between its clock and
    ours, seconds}, or {"node", "error"}.
    """
    command = [sys.executable, "-m", "rrm.cluster.roll_call", address or "", marker]
    # Without an address Ray would connect to the cluster of RAY_ADDRESS; here a local Ray is meant.
    environment = {name: value for name, value in os.environ.items() if address or name != "RAY_ADDRESS"}
    try:
        done = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", timeout=timeout, env=environment
        )
    except subprocess.TimeoutExpired:
        return {"error": f"no answer in {timeout:.0f} s"}
    for line in reversed(done.stdout.splitlines()):
        if line.startswith("{"):
            return json.loads(line)
    said = done.stderr.strip().splitlines() or [f"it ended with code {done.returncode}"]
    return {"error": said[-1][:300]}


@contextmanager
def _connection(address: str | None) -> Iterator[dict[str, float]]:
    """A connection to the nodes that are there, unlike `ray_session`, which waits for nodes of the autoscaler."""
    import ray

    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    try:
        yield ray.cluster_resources()
    finally:
        ray.shutdown()


def _roll_call(address: str | None, marker: str) -> dict:
    from rrm.cluster.session import ray_session

    if address:
        os.environ.setdefault("RAY_AUTH_MODE", "token")  # as the session of a sweep does
    with _connection(address) if address else ray_session(None, 1, verbose=False) as resources:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        # Nested, so that Ray pickles its code: a node may lack rrm.
        def look(path: str, names: tuple[str, ...]) -> dict:
            import importlib.metadata
            import platform
            import socket

            found = {"host": socket.gethostname(), "python": platform.python_version(), "sees": os.path.exists(path)}
            for name in names:
                try:
                    found[name] = importlib.metadata.version(name)
                except importlib.metadata.PackageNotFoundError:
                    found[name] = None
            return found | {"time": time.time()}

        task = ray.remote(num_cpus=0, max_retries=0)(look)
        rows = []
        for node in ray.nodes():
            if not node["Alive"]:
                continue
            there = task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False))
            try:
                # The first call starts a worker, whose start would look like a difference of clocks.
                ray.get(there.remote(marker, PACKAGES), timeout=30)
                began = time.time()
                row = ray.get(there.remote(marker, PACKAGES), timeout=10)
            except Exception as error:
                rows.append({"node": node["NodeManagerAddress"], "error": str(error).strip().splitlines()[0][:200]})
                continue
            said = row.pop("time")
            row["behind_s"] = max(began - said, said - time.time(), 0.0)
            rows.append({"node": node["NodeManagerAddress"]} | row)
    return {"resources": resources, "nodes": rows}


if __name__ == "__main__":
    try:
        answer = _roll_call(sys.argv[1] or None, sys.argv[2])
    except Exception as error:
        answer = {"error": " ".join(str(error).split())[:300] or type(error).__name__}
    print(json.dumps(answer), flush=True)
