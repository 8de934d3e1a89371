"""DDP workers and nodes of a cluster go."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.endurance.fault_table import cluster_of_nodes
from tests.endurance.fault_table.comparison import compare, compare_weights, jobs_of, lost_work
from tests.endurance.fault_table.registry import expect, fault
from tests.endurance.fault_table.row import Row
from tests.endurance.fault_table.table import DDP

# Environment of a cluster and its driver: the loss of a node is noticed in seconds, and nobody needs a token.
CLUSTER = {"RAY_AUTH_MODE": "disabled", "RAY_OVERRIDE_RESOURCES": "{}", "RAY_USAGE_STATS_ENABLED": "0"}
CLUSTER |= {f"RAY_health_check_{name}_ms": "1000" for name in ("initial_delay", "period", "timeout")}
CLUSTER |= {"RAY_health_check_failure_threshold": "3"}


@fault("ddp-worker-kill", "SIGKILL to a DDP worker at step 50 of 100")
def ddp_worker_kill(row: Row) -> None:
    """Both workers begin again at the last checkpoint and end with the weights of the unbroken run."""
    whole = row.table.whole_ddp
    began = time.monotonic()
    expect(row, row.run(*row.table.sweep(row, *DDP), faults="KILL@step:50", slots=2), 0)
    lost_s = time.monotonic() - began - whole.seconds
    row.want((row.marks / "KILL@step:50").exists(), "the fault did not happen")
    row.lost = f"{lost_work(row, whole.work)} of both workers, {lost_s:.0f} s"
    compare_weights(row, whole.storage)
    compare(row, whole.storage)
    row.check_orphans()


@fault("ddp-node-removed", "a node of a DDP trial goes at step 50 of 100 and does not come back")
def ddp_node_removed(row: Row) -> None:
    """The node that is left does the work of both, in two micro-batches."""
    whole, fault = row.table.whole_ddp, "wait@step:50"
    with nodes_of_one_cpu(row, 2, fault) as (nodes, address):
        driver = row.start(*row.table.sweep(row, "--address", address, *DDP), faults=fault, **CLUSTER)
        print(row.happened(fault, driver), file=nodes.stdin, flush=True)
        row.want(nodes.stdout.readline().strip() == "removed", "no node was removed")
        expect(row, row.wait(driver), 0)
    row.lost = "the work since the last checkpoint"
    compare_weights(row, whole.storage)
    parts = [point for _, point in jobs_of(row.runs)["trial-000"][1]["train/micro_batches"]]
    row.want((parts[0], parts[-1], len(parts)) == (1, 2, 10), f"micro-batches {parts}")
    row.check_orphans()


@fault("nodes-removed", "a node of three goes in mid-trial, another in the analysis")
def nodes_removed(row: Row) -> None:
    """One node does the rest. With two objectives ASHA stops no trial: here the order of reports is chance."""
    whole, options = Row("whole-nodes", row.work, row.table), ("--trials", "3", "--objectives", "accuracy", "calls")
    with nodes_of_one_cpu(whole, 3) as (_, address):
        options += ("--address", address)
        row.want(whole.run(*row.table.sweep(whole, *options), **CLUSTER).code == 0, "the unbroken run failed")
    faults = "wait@step:3 wait@measuring:1"
    with nodes_of_one_cpu(row, 3, faults) as (nodes, address):
        options = (*options[:-1], address)
        driver = row.start(*row.table.sweep(row, *options), faults=faults, **CLUSTER)
        for place in faults.split():
            print(row.happened(place, driver), file=nodes.stdin, flush=True)
            row.want(nodes.stdout.readline().strip() == "removed", f"no node was removed at {place}")
        expect(row, row.wait(driver), 0)
    compare(row, whole.runs)
    row.lost = lost_work(row, whole.count())
    row.check_orphans()


@contextmanager
def nodes_of_one_cpu(row: Row, count: int, faults: str = "") -> Iterator[tuple[subprocess.Popen, str]]:
    """Yield (process, address) of a cluster of `count` nodes; see `cluster_of_nodes.py`."""
    command = [sys.executable, cluster_of_nodes.__file__, str(count)]
    nodes = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        start_new_session=True, env=row.environment(faults) | CLUSTER,
    )  # fmt: skip
    try:
        address = nodes.stdout.readline().strip()
        row.want(address, "the cluster did not start")
        yield nodes, address
    finally:
        nodes.stdin.close()
        nodes.wait(120)
