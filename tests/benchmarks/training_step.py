"""CPU seconds of one TRM training step, with the shares of forward, backward and optimizer.

    python tests/benchmarks/training_step.py [--compile] [--repeat 5]

TRM mixer as in the paper's Sudoku recipe (81 tokens + 16 prefix positions, H 3, L 6, 2 layers), at width 128 batch 32
and width 512 batch 8, in float32 and bfloat16, one thread. Medians over repeats after a warm-up; the ratios in the last
column are bfloat16 (and compiled) to eager float32 of the same run.
"""

import argparse
import statistics
import time

import torch

from rrm.models import build
from rrm.tasks import get_task
from rrm.training.deep_supervision import DeepSupervision
from rrm.training.optim import EMA, AdamATan2
from rrm.training.perturbation import TrajectoryPerturbation
from rrm.training.recipes import trm_sudoku

CASES = ((128, 32), (512, 8))
PARTS = ("forward", "backward", "optimizer")


def step_times(width: int, batch_size: int, dtype: str, compiled: bool, repeat: int) -> tuple[list[float], float]:
    """-> (median CPU seconds of forward, backward and optimizer, CPU seconds of the first step: compilation)."""
    torch.manual_seed(0)
    task = get_task("sudoku-9x9")
    shape = {"hidden_size": width, "puzzle_emb_ndim": width, "forward_dtype": dtype}
    model = build(trm_sudoku(task).model | shape).train()
    if compiled:
        model.L_level.compile()
    objective = DeepSupervision(model, TrajectoryPerturbation())
    optimizer, ema = AdamATan2(model.parameters(), lr=1e-4, weight_decay=1.0), EMA(model, 0.999)
    puzzles = torch.randint(1, task.vocab_size, (batch_size, task.seq_len))
    rows = torch.arange(batch_size)
    batch = {"inputs": puzzles, "labels": puzzles, "puzzle_identifiers": torch.zeros_like(rows), "rows": rows}
    carry, generator, times = objective.initial_carry(batch), torch.Generator().manual_seed(0), []
    for _ in range(repeat + 1):
        marks = [time.process_time()]
        loss, carry, _ = objective(carry, batch, generator)
        marks.append(time.process_time())
        loss.backward()
        marks.append(time.process_time())
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        ema.update(model)
        marks.append(time.process_time())
        times.append([after - before for before, after in zip(marks, marks[1:], strict=False)])
    return [statistics.median(part) for part in zip(*times[1:], strict=True)], sum(times[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compile", action="store_true", help="also time torch.compile of the blocks")
    parser.add_argument("--repeat", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'width':>5} {'batch':>5} {'dtype':>9} {'mode':>8} {'first s':>8} {'step s':>7}  "
          + "  ".join(f"{part:>9}" for part in PARTS) + "  ratio")  # fmt: skip
    for width, batch_size in CASES:
        reference = None
        for compiled in (False, True) if args.compile else (False,):
            for dtype in ("float32", "bfloat16"):
                parts, first = step_times(width, batch_size, dtype, compiled, args.repeat)
                total = sum(parts)
                reference = reference or total
                shares = "  ".join(f"{part / total:>9.0%}" for part in parts)
                mode = "compiled" if compiled else "eager"
                print(f"{width:>5} {batch_size:>5} {dtype:>9} {mode:>8} {first:>8.1f} {total:>7.2f}  {shares}  "
                      f"{total / reference:.2f}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
