"""Memory and CPU seconds of a training step whose batch is gone through in M parts, in units of the undivided step.

    python tests/benchmarks/micro_batches.py [--repeat 5] [--batch 64] [--parts 1 2 4 8]

TRM, width 128, 6 x 6 Sudoku with 16 prefix positions, float32, one thread. Memory is what the process grew by over the
trainer before its first step (gradients and optimizer included), each M in a process of its own; seconds are medians.
"""

import argparse
import multiprocessing
import resource
import statistics
import time

import torch

from rrm.tasks import get_task
from rrm.training.assemble import assemble
from rrm.training.recipes import trm_sudoku


def case(parts: int, batch_size: int, repeat: int) -> tuple[float, float]:
    """-> (MB, CPU seconds)."""
    torch.set_num_threads(1)
    task = get_task("sudoku-6x6")
    recipe = trm_sudoku(task, batch_size=batch_size, micro_batches=parts, evaluations=1)
    recipe.model.update(hidden_size=128, puzzle_emb_ndim=128, num_heads=4, forward_dtype="float32")
    puzzles = task.generate(batch_size, seed=0)
    trainer = assemble(recipe, task, puzzles, puzzles)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = []
    for _ in range(repeat + 1):
        began = time.process_time()
        trainer._train_step()
        seconds.append(time.process_time() - began)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, statistics.median(seconds[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--parts", type=int, nargs="+", default=[1, 2, 4, 8])
    args = parser.parse_args()
    print(f"{'parts':>5} {'MB':>6} {'ratio':>6} {'seconds':>8} {'ratio':>6}")
    whole = None
    for parts in args.parts:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            found = pool.apply(case, (parts, args.batch, args.repeat))
        whole = whole or found
        print(f"{parts:>5} {found[0]:>6.0f} {found[0] / whole[0]:>6.2f} {found[1]:>8.2f} {found[1] / whole[1]:>6.2f}",
              flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
