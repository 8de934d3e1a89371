"""Whether what a trial or task asks for fits what a cluster has, or may grow to."""

import sys
from dataclasses import dataclass

from rrm.errors import InputError


@dataclass(frozen=True)
class Request:
    """Resources of one trial or task: `workers` processes of `cpus` CPUs and `gpus` GPUs each, `at_most` at a time."""

    workers: int = 1
    cpus: float = 1
    gpus: float = 0
    at_most: int | None = None

    def __str__(self) -> str:
        gpu = f" + {self.gpus:g} GPU" if self.gpus else ""
        return f"{self.workers} x ({self.cpus:g} CPU{gpu})"


def room(request: Request, resources: dict[str, float]) -> int:
    """How many requests of this size the resources hold."""
    held = resources.get("CPU", 0) / (request.workers * request.cpus)
    if request.gpus:
        held = min(held, resources.get("GPU", 0) / (request.workers * request.gpus))
    return int(held + 1e-9)


def trials_at_once(request: Request, resources: dict[str, float]) -> int:
    """How many trials the cluster holds at once; InputError with request and resources when it holds none.

    Ray itself accepts a request that does not fit, and waits for ever without a word.
    """
    held = room(request, resources)
    if held < 1:
        less = "lower --workers-per-trial or " if request.workers > 1 else "lower --gpus or " if request.gpus else ""
        raise InputError(
            f"a trial or task needs {request}, the cluster has {resources.get('CPU', 0):g} CPU and "
            f"{resources.get('GPU', 0):g} GPU: {less}add nodes"
        )
    return min(held, request.at_most or sys.maxsize)


def autoscaler_limits(config: dict) -> dict[str, float]:
    """The most of each resource to which a cluster with this `ray up` configuration can grow, head included.

    `max_workers` of the cluster bounds the number of nodes; for each resource they are those that offer most of it.
    """
    types = config["available_node_types"]
    everything = config["max_workers"]
    head = types[config["head_node_type"]]["resources"]
    workers = [node for name, node in types.items() if name != config["head_node_type"]]
    limits = {}
    for resource in {name for node in types.values() for name in node["resources"]}:
        left, limits[resource] = everything, head.get(resource, 0)
        offers = [(node["resources"].get(resource, 0), node.get("max_workers", everything)) for node in workers]
        for amount, count in sorted(offers, reverse=True):
            limits[resource] += amount * min(count, left)
            left -= min(count, left)
    return limits
