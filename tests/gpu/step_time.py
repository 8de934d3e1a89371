"""Seconds and memory of a training step of the papers' recipes, and its share of the device's product rate.

FLOPs are those of the matrix products of a step, forward and backward, as `torch.utils.flop_counter` counts them. A
step is all that the trainer does between two evaluations: the batch, its augmentation on the host, its way to the
device, gradients, optimizer and averaging.
"""

import gc
import time
from dataclasses import replace
from statistics import median

import torch
from torch.utils.flop_counter import FlopCounterMode

from rrm.tasks import PuzzleSet, get_task
from rrm.training.assemble import assemble
from rrm.training.recipe import Recipe
from tests.gpu.product_rate import product_rate
from tests.gpu.session import Session, in_words
from tests.gpu.sizes import RECIPES


def run(session: Session) -> None:
    sizes = session.sizes
    rate = product_rate(session, "bfloat16", torch.bfloat16)
    recipes = {name: sizes.recipe(name) for name in RECIPES}
    task = get_task(sizes.task)
    base = task.generate(32, seed=0)
    puzzles = base.subset([row % 32 for row in range(max(recipe.batch_size for recipe in recipes.values()))])
    flops: dict[tuple[str, float], int] = {}
    for name, at, compiled in sizes.step_times:
        case = in_words(name, "at the end" if at else None, "compiled" if compiled else "eager")
        with session.case(case):
            flops[name, at] = _step(session, case, recipes[name], puzzles, at, compiled, flops.get((name, at)), rate)


def _step(
    session: Session, case: str, recipe: Recipe, puzzles: PuzzleSet, at: float, compiled: bool, flops: int | None,
    rate: float,
) -> int:  # fmt: skip
    """Time a step and write its row; -> FLOPs of a step, counted here unless they are known."""
    gc.collect()
    session.forget_peak()
    torch._dynamo.reset()
    task = get_task(session.sizes.task)
    trainer = assemble(replace(recipe, compiled=compiled), task, puzzles, puzzles, device=session.device)
    trainer.step = int(at * trainer.total_steps)
    (first_s,) = session.timed(trainer._train_step, 1)
    if flops is None:
        with FlopCounterMode(display=False) as counter:
            trainer._train_step()
        flops = counter.get_total_flops()
    trainer._train_step()
    step_s = median(session.timed(trainer._train_step, session.sizes.repeat))
    began = time.perf_counter()
    trainer.source.batch(trainer.step)
    host_s = time.perf_counter() - began
    speed, peak, parts = flops / step_s, session.peak_gib, trainer.micro_batches
    says = in_words(
        f"{1e3 * step_s:.4g} ms",
        None if peak is None else f"{peak:.3g} GiB",
        f"{speed / 1e12:.3g} TFLOP/s",
        f"{speed / rate:.0%} of the product rate",
        f"first step {first_s:.3g} s",
        f"batch {1e3 * host_s:.3g} ms on the host",
        f"in {parts} parts" if parts > 1 else None,
    )
    session.row(
        case, says, step_s=step_s, peak_gib=peak, flops=flops, tflops=speed / 1e12, share=speed / rate,
        first_s=first_s, host_s=host_s, batch=recipe.batch_size, micro_batches=parts,
    )  # fmt: skip
    return flops


def faster_compiled(rows: list[dict]) -> bool:
    """Whether a compiled step of SRM took less time than an eager one, by the rows of this stage."""
    seconds = {row["case"]: row.get("step_s") for row in rows}
    eager, compiled = seconds.get("srm_sudoku, eager"), seconds.get("srm_sudoku, compiled")
    return bool(eager and compiled and compiled < eager)
