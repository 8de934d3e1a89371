"""The recipe of a training on modular arithmetic, in which a network generalises long after it has memorised."""

from collections.abc import Sequence
from typing import Any

from rrm.models import described
from rrm.tasks.modular import ModularArithmetic
from rrm.training.recipe import Recipe, from_flat


def grokking(
    model: str = "token_mlp",
    p: int = 59,
    operations: Sequence[str] = ("add",),
    train_share: float = 0.4,
    data_seed: int = 0,
    twins: bool = True,
    *,
    steps: int = 4000,
    batch_size: int = 0,
    network: dict[str, Any] | None = None,
    journal: dict[str, Any] | None = None,
    hooks: dict[str, dict[str, Any]] | None = None,
    **changes: Any,
) -> Recipe:
    """A network of one layer, full batch, AdamW at the betas of Power et al. (arXiv 2201.02177), decay on all weights.

    Args:
        model: a family of token networks.
        p, operations, train_share, data_seed, twins: of `ModularArithmetic`.
        steps: optimizer steps.
        batch_size: training pairs of a step; 0 for all of them.
        network: settings of the network besides those that the table gives it; those that only other families have are
            left out.
        journal, hooks: settings of the journal, and other hooks.
        changes: fields of the recipe, or settings of its objective and optimizer.
    """
    table = ModularArithmetic(p, tuple(operations), train_share, data_seed, twins)
    shape = {"vocab_size": table.vocab_size, "classes": table.classes, "seq_len": table.seq_len}
    reads = "operation" if len(table.operations) > 1 else "operands"
    rows = batch_size or int(table.train.sum())
    settings: dict[str, Any] = {
        "model": described(model, **shape, **{"reads": reads} | (network or {})),
        "table": table.to_dict(),
        "budget": 3.0 * rows * steps,
        "batch_size": rows,
        "loss": "cross_entropy",
        "optimizer": {"kind": "adamw"},
        "betas": (0.9, 0.98),
        "lr": 3e-3,
        "weight_decay": 1.0,
        "schedule": "constant",
        "warmup_steps": 10,
        "ema_decay": 0.0,
        "source": {"kind": "rows"},
        "hooks": {"journal": journal or {}} | (hooks or {}),
    }
    return Recipe(**from_flat(settings | changes))
