"""How much of itself a network uses: regularisers of its routing and costs of its open gates, with their numbers."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

Regulariser = Callable[[Tensor], Tensor]


def entropy(weights: Tensor) -> Tensor:
    """Mean entropy, nats, of routing weights [..., H]: 0 where each row has one head, ln H where all share."""
    return -torch.special.xlogy(weights, weights).sum(-1).mean()


def sparsity(weights: Tensor) -> Tensor:
    """1 - mean of the sum of squares of routing weights [..., H]: 0 for one head, 1 - 1/H where all share.

    The sum of the weights themselves, the usual measure of sparsity, is always 1.
    """
    return 1 - weights.square().sum(-1).mean()


def gini(weights: Tensor) -> Tensor:
    """1 - mean Gini coefficient of routing weights [..., H]: 1/H for one head, 1 where all share."""
    count = weights.shape[-1]
    ranks = torch.arange(1, count + 1, device=weights.device, dtype=weights.dtype)
    return 1 - ((2 * ranks - count - 1) * weights.sort(-1).values).sum(-1).mean() / count


def consistency(weights: Tensor) -> Tensor:
    """Mean squared distance of routing weights [B, P, H] from their mean over the rows: 0 where all rows agree."""
    return (weights - weights.mean(0)).square().sum(-1).mean()


ROUTING: dict[str, Regulariser] = {
    "entropy": entropy,
    "sparsity": sparsity,
    "gini": gini,
    "consistency": consistency,
}

# From gates [G] and the multiplications of each layer to a cost.
Cost = Callable[[Tensor, Sequence[float]], Tensor]


def effective_depth(gates: Tensor, layer_costs: Sequence[float]) -> Tensor:
    """The sum of the gates: the number of layers where all are open."""
    return gates.sum()


def effective_work(gates: Tensor, layer_costs: Sequence[float]) -> Tensor:
    """The sum of the gates, each weighted by the multiplications of its layer over their mean."""
    work = torch.tensor(layer_costs, dtype=gates.dtype, device=gates.device)
    return (gates * work).sum() / work.mean()


def indecision(gates: Tensor, layer_costs: Sequence[float]) -> Tensor:
    """The sum of the binary entropies of the gates, nats: 0 where each is open or closed."""
    return -(torch.special.xlogy(gates, gates) + torch.special.xlogy(1 - gates, 1 - gates)).sum()


COSTS: dict[str, Cost] = {"sum": effective_depth, "flops": effective_work, "entropy": indecision}


def routing_numbers(routing: Mapping[str, Tensor]) -> dict[str, float]:
    """Mean entropy of all routers (nats), and by router the share of the weight that each head has."""
    if not routing:
        return {}
    found = {"routing/entropy": float(torch.stack([entropy(weights) for weights in routing.values()]).mean())}
    for name, weights in routing.items():
        used = weights.flatten(0, -2).mean(0).tolist()
        found |= {f"routing/{name}/head_{number}": share for number, share in enumerate(used)}
    return found


def gate_numbers(gates: Tensor | None, layer_costs: Sequence[float]) -> dict[str, float]:
    """Effective depth (sum of the gates), effective work, gates that are more open than closed, and each gate."""
    if gates is None:
        return {}
    return {
        "gates/effective_depth": float(effective_depth(gates, layer_costs)),
        "gates/effective_work": float(effective_work(gates, layer_costs)),
        "gates/open": float((gates > 0.5).sum()),
        **{f"gates/layer_{number}": value for number, value in enumerate(gates.tolist())},
    }
