"""DistributedDataParallel on one rank, over nccl on an accelerator and gloo on a CPU: the step of a plain training."""

import tempfile
from dataclasses import replace

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from rrm.tasks import get_task
from rrm.training.assemble import assemble
from rrm.training.trainer import unwrapped
from tests.gpu.session import Session
from tests.gpu.sizes import RECIPES

STEPS = 3
BOUND = 1e-6


def run(session: Session) -> None:
    backend = "nccl" if session.device == "cuda" else "gloo"
    with tempfile.TemporaryDirectory() as folder:
        dist.init_process_group(backend, init_method=f"file://{folder}/store", rank=0, world_size=1)
        try:
            with session.case(f"{backend}: collectives"):
                _collectives(session, backend)
            for name in RECIPES:
                with session.case(f"{backend}: {name}"):
                    _steps(session, backend, name)
        finally:
            dist.destroy_process_group()


def _collectives(session: Session, backend: str) -> None:
    mine = torch.randn(1 << 20, device=session.device)
    total, parts = mine.clone(), [torch.empty_like(mine)]
    dist.all_reduce(total)
    dist.all_gather(parts, mine)
    dist.barrier()
    holds = torch.equal(total, mine) and torch.equal(parts[0], mine)
    session.row(f"{backend}: collectives", "sum and gather of one rank are its own numbers", holds)


def _steps(session: Session, backend: str, name: str) -> None:
    """Gradients of the first step, and weights after a few, with and without the wrapper."""
    plain, wrapped = (_trained(session, name, wrap) for wrap in (unwrapped, DistributedDataParallel))
    (gradients, weights), (others, after) = plain, wrapped
    assert gradients and gradients.keys() == others.keys()
    error = max(float((others[key] - g).norm() / (g.norm() + 1e-12)) for key, g in gradients.items())
    same = all(torch.equal(weights[key], after[key]) for key in weights)
    says = (
        f"gradients differ by {error:.1e}, below {BOUND:.0e}; weights after {STEPS} steps are "
        f"{'the same bits' if same else 'not the same bits'}"
    )
    session.row(f"{backend}: {name}", says, error < BOUND, error=error, same_bits=same)


def _trained(session: Session, name: str, wrap: object) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    task = get_task(session.sizes.task)
    recipe = session.sizes.recipe(name)
    small = {"hidden_size": 64, "num_heads": 4, "puzzle_emb_ndim": 64, "forward_dtype": "float32"}
    recipe = replace(recipe, model=recipe.model | small, batch_size=8, evaluations=1)
    puzzles = task.generate(8, seed=0)
    trainer = assemble(recipe, task, puzzles, puzzles, device=session.device, wrap=wrap)
    gradients: dict[str, Tensor] = {}

    def keep(*_: object) -> None:
        if not gradients:
            gradients.update({key: value.grad.clone() for key, value in trainer.model.named_parameters()})

    trainer.optimizer.register_step_pre_hook(keep)
    for _ in range(STEPS):
        trainer._train_step()
    return gradients, trainer.model.state_dict()
