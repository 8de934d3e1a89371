"""What recording attention heads costs beside a plain rollout, in seconds and memory.

    python tests/benchmarks/heads.py              # 512 puzzles of 4 x 4, and mazes of 900 cells
    python tests/benchmarks/heads.py --mazes 0

CPU seconds of this process; the runs of both kinds take turns, so that a busy machine slows both down.
"""

import argparse
import resource
import statistics
import time

import torch

from rrm.dynamics.attention import record_heads
from rrm.dynamics.escape import escape
from rrm.models import RecursiveModel, build, variant
from rrm.tasks import PuzzleSet, Task, get_task
from rrm.training.recipes import cpu_sudoku


def seconds(function, *arguments) -> float:
    began = time.process_time()
    function(*arguments)
    return time.process_time() - began


def compare(label: str, model: RecursiveModel, puzzles: PuzzleSet, task: Task, segments: int, turns: int) -> None:
    """Print the medians of both kinds of run, their ratio, and the largest memory of the process so far."""
    plain, recorded = [], []
    for _ in range(turns):
        plain.append(seconds(escape, model, puzzles, task, segments))
        recorded.append(seconds(record_heads, model, puzzles, task, segments))
    ratio = statistics.median(b / a for a, b in zip(plain, recorded, strict=True))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{label}: plain {statistics.median(plain):.2f} s, recorded {statistics.median(recorded):.2f} s, "
          f"ratio {ratio:.2f}; at most {memory:.2f} GB", flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--puzzles", type=int, default=512)
    parser.add_argument("--mazes", type=int, default=1)
    parser.add_argument("--turns", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    task = get_task("sudoku-4x4")
    puzzles = task.generate(args.puzzles, 0, (5, 9))
    for heads, layers in ((4, 1), (8, 2)):
        described = cpu_sudoku(task, "trm_att").model | {"num_heads": heads, "L_layers": layers}
        model = build(described).eval()
        compare(f"{args.puzzles} puzzles of 4 x 4, width 64, {layers} layers of {heads} heads, 8 segments", model,
                puzzles, task, 8, args.turns)  # fmt: skip
    shape = {"hidden_size": 512, "num_heads": 8, "H_cycles": 3, "L_cycles": 6, "L_layers": 2, "puzzle_emb_len": 16}
    task = get_task("sudoku-9x9")
    model = build(variant("trm_att", vocab_size=task.vocab_size, seq_len=task.seq_len, **shape)).eval()
    compare("4 puzzles of 9 x 9, width 512, 2 layers of 8 heads, 1 segment", model, task.generate(4, 0), task, 1, 3)
    if args.mazes:
        task = get_task("maze-30x30")
        model = build(variant("trm_att", vocab_size=task.vocab_size, seq_len=task.seq_len, **shape)).eval()
        compare(f"{args.mazes} mazes of 900 cells, the same network, 1 segment", model, task.generate(args.mazes, 0),
                task, 1, 1)  # fmt: skip


if __name__ == "__main__":
    main()
