"""CPU seconds of a spectrum in units of one plain forward rollout of the same batch, and its memory, by k.

    python tests/benchmarks/spectrum_cost.py [--repeat 5] [--batch 8] [--k 1 8 32]

Width 128, 81 tokens with 16 prefix positions; mixer, attention and delta rule; float32, one thread, QR after every call
included. The ratio is a median over repeats, each of them a forward rollout timed right beside its spectrum; compile
time stands apart. Peak memory is what the process grew by over the plain rollout (compiling included), in a process of
its own.
"""

import argparse
import itertools
import multiprocessing
import resource
import statistics
import time

import torch

from rrm.dynamics import lyapunov_spectrum, rollout
from rrm.models import build
from rrm.tasks import get_task
from rrm.training.recipes import trm_sudoku

ATTENTION = {"mlp_t": False, "pos_encodings": "rope"}
VARIANTS = {
    "mixer": {"mlp_t": True, "pos_encodings": "none"},
    "attention": ATTENTION,
    "delta": ATTENTION | {"delta_rule": True},
}
SEGMENTS = 1


def case(network: str, k: int, batch_size: int, repeat: int, compiled: bool) -> dict[str, float]:
    """Median forward seconds, spectrum seconds, their ratio, and the memory of the spectrum in MB."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    task = get_task("sudoku-9x9")
    shape = {"hidden_size": 128, "puzzle_emb_ndim": 128, "num_heads": 4, "forward_dtype": "float32"}
    model = build(trm_sudoku(task).model | shape | VARIANTS[network]).eval()
    puzzles = torch.randint(1, task.vocab_size, (batch_size, task.seq_len))
    batch = {"inputs": puzzles, "puzzle_identifiers": torch.zeros(batch_size, dtype=torch.int64)}
    rows = []
    rollout(model, batch, SEGMENTS)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    lyapunov_spectrum(model, batch, k, SEGMENTS, compiled=compiled)
    first = time.process_time() - began
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    for _ in range(repeat):
        marks = [time.process_time()]
        rollout(model, batch, SEGMENTS)
        marks.append(time.process_time())
        lyapunov_spectrum(model, batch, k, SEGMENTS, compiled=compiled)
        marks.append(time.process_time())
        rows.append((marks[1] - marks[0], marks[2] - marks[1], (marks[2] - marks[1]) / (marks[1] - marks[0])))
    forward, spectrum, ratio = (statistics.median(column) for column in zip(*rows, strict=True))
    return {"forward": forward, "spectrum": spectrum, "ratio": ratio, "first": first, "memory": memory}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--k", type=int, nargs="+", default=[1, 8, 32])
    args = parser.parse_args()
    columns = ("network", "mode", "k", "forward s", "spectrum s", "ratio", "compile s", "memory MB")
    print("{:>9} {:>8} {:>3} {:>9} {:>10} {:>6} {:>9} {:>9}".format(*columns))
    for network, compiled, k in itertools.product(VARIANTS, (False, True), args.k):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            found = pool.apply(case, (network, k, args.batch, args.repeat, compiled))
        print(f"{network:>9} {'compiled' if compiled else 'eager':>8} {k:>3} {found['forward']:>9.3f} "
              f"{found['spectrum']:>10.3f} {found['ratio']:>6.2f} {found['first'] - found['spectrum']:>9.1f} "
              f"{found['memory']:>9.0f}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
