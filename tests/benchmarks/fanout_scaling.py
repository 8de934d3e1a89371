"""What spreading spectra over Ray tasks costs: examples per second by workers, overhead per shard, driver memory.

    python tests/benchmarks/fanout_scaling.py [--puzzles 256] [--memory 1000 100000]

Speed: TRM mixer, width 64, 6x6 Sudoku, 8 segments, k = 8, with 1 and 2 tasks at a time on a cluster of that many CPUs,
in alternation. Overhead: wall time times workers less the seconds inside `measure`, per shard. Memory: peak of a driver
that measures as many puzzles with a model of a few numbers, in a process of its own for each size.
"""

import argparse
import multiprocessing
import resource
import statistics
import tempfile
import time
from pathlib import Path

import torch

from rrm.cluster.capacity import Request
from rrm.cluster.fanout import SHARD, measure_in_shards
from rrm.cluster.session import ray_session
from rrm.dynamics import Settings
from rrm.models import build, variant
from rrm.tasks import PuzzleSet, get_task

REPEAT = 3


def settings_of(model, task, k: int, segments: int) -> Settings:
    return Settings(
        k=k, segments=segments, calls_per_segment=len(model.segment_calls), seed=0, precision="float32", model="",
        task=task.name, checkpoint_hash="", data_hash="",
    )  # fmt: skip


def timed(model, puzzles, settings, resources, workers: int) -> tuple[float, float]:
    """Wall seconds, and seconds of work, of one measurement."""
    work = []
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "result.safetensors"
        began = time.perf_counter()
        measure_in_shards(model, puzzles, settings, Path(folder) / "shards", target, {}, resources,
                          Request(at_most=workers), lambda rows, seconds: work.append(seconds))  # fmt: skip
        return time.perf_counter() - began, sum(work)


def speed(count: int) -> None:
    task = get_task("sudoku-6x6")
    torch.manual_seed(0)
    model = build(variant("trm_mlp", vocab_size=task.vocab_size, seq_len=task.seq_len, hidden_size=64, H_cycles=2,
                          L_cycles=2, L_layers=1)).eval()  # fmt: skip
    puzzles, settings = task.generate(count, seed=0, givens=(14, 18)), settings_of(model, task, 8, 8)
    rows = {1: [], 2: []}
    with ray_session(None, 1, False) as resources:
        timed(model, puzzles.subset(slice(0, 2 * SHARD)), settings, resources, 2)  # workers start and import
        for _ in range(REPEAT):
            for workers, of_workers in rows.items():
                of_workers.append(timed(model, puzzles, settings, resources, workers))
    shards = -(-count // SHARD)
    print(f"{'workers':>7} {'examples/s':>10} {'overhead a shard, ms':>20} {'slowdown of work':>16}")
    for workers, of_workers in rows.items():
        wall, work = (statistics.median(column) for column in zip(*of_workers, strict=True))
        alone = statistics.median(seconds for _, seconds in rows[1])
        overhead = 1e3 * (wall * workers - work) / shards
        print(f"{workers:>7} {count / wall:>10.1f} {overhead:>20.0f} {work / alone:>16.2f}")
    ratio = statistics.median(one[0] / two[0] for one, two in zip(*rows.values(), strict=True))
    print(f"2 workers are {ratio:.2f} times as fast as 1")


def driver_memory(count: int) -> float:
    """MB, peak of this process."""
    task = get_task("sudoku-4x4")
    model = build(variant("trm_mlp", vocab_size=task.vocab_size, seq_len=task.seq_len, hidden_size=4, num_heads=1,
                          H_cycles=1, L_cycles=1, L_layers=1)).eval()  # fmt: skip
    some = task.generate(50, seed=0)
    puzzles = PuzzleSet.concatenate([some] * (count // 50))
    with ray_session(None, 1, False) as resources:
        timed(model, puzzles, settings_of(model, task, 1, 1), resources, 2)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--puzzles", type=int, default=256)
    parser.add_argument("--memory", type=int, nargs="*", default=[1000, 100_000])
    args = parser.parse_args()
    torch.set_num_threads(1)
    for count in args.memory:
        began = time.perf_counter()
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            print(f"driver memory, {count} puzzles: {pool.apply(driver_memory, (count,)):.0f} MB "
                  f"({time.perf_counter() - began:.0f} s)", flush=True)  # fmt: skip
    if args.puzzles:
        speed(args.puzzles)


if __name__ == "__main__":
    main()
