"""A cluster of nodes of one CPU, some of which are removed: a process of its own that rows start.

    python tests/endurance/fault_table/cluster_of_nodes.py COUNT

The first line of stdout is the address. Each line of stdin is the id of a worker process: its node is removed. The
cluster ends with stdin.
"""

import socket
import sys
from pathlib import Path


def main() -> None:
    from ray.cluster_utils import Cluster

    with socket.socket() as free:  # another row may have a cluster with a dashboard, too
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # Ray Train asks the dashboard which processes a dead node has left behind.
    head = {"num_cpus": 0, "include_dashboard": True, "dashboard_port": port}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    nodes = [cluster.add_node(num_cpus=1) for _ in range(int(sys.argv[1]))]
    cluster.wait_for_nodes()
    print(cluster.address, flush=True)
    for line in sys.stdin:
        parent = int(Path(f"/proc/{int(line)}/stat").read_text().rpartition(")")[2].split()[1])
        (node,) = [node for node in nodes if node.all_processes["raylet"][0].process.pid == parent]
        nodes.remove(node)
        cluster.remove_node(node, allow_graceful=False)
        print("removed", flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    main()
