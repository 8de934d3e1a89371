"""What probes cost: each by itself in training steps, and the standard suite at every 1, 4, 16 and 64 steps.

    python tests/benchmarks/probes.py [--model token_mlp transformer trm_mlp] [--rounds 5]

Networks of tokens: p 59, a + b, train share .4, full batch of 1,392 pairs, AdamW, as `rrm.training.grokking`.
trm_mlp: that of `cpu_sudoku` on 6 x 6 Sudoku, batch 32, AdamATan2.
Overhead: trainings without probes and at each interval take turns of 64 steps, in CPU seconds of one thread; the median
over rounds of probed over plain. Cockpit's published figures on a CPU (its MLP on MNIST) at every 1, 4, 16, 64 steps:
economy 63, 18, 5.2, 2.1 times the training time, full 260, 67, 17, 5.1.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch

from rrm.probes import PROBES, Probe, View
from rrm.tasks import get_task
from rrm.tasks.splits import generate_splits
from rrm.training.assemble import assemble
from rrm.training.grokking import grokking
from rrm.training.recipes import cpu_sudoku
from rrm.training.trainer import Trainer

INTERVALS = (1, 4, 16, 64)
TURN = 64  # steps


def trainer(model: str, hooks: dict) -> Trainer:
    """A training that goes on for longer than the benchmark."""
    if model.startswith("trm"):
        task = get_task("sudoku-6x6")
        with tempfile.TemporaryDirectory() as folder:
            splits = generate_splits(task.name, (512, 64, 1), 0, (14, 18), folder)
        return assemble(cpu_sudoku(task, model, hooks=hooks), task, splits.train, splits.validation)
    return assemble(replace(grokking(model, steps=10**6), hooks=hooks))


def seconds(work: Callable[[], object], repeat: int = 1) -> float:
    began = time.process_time()
    for _ in range(repeat):
        work()
    return time.process_time() - began


def by_probe(model: str, rounds: int) -> None:
    """The cost of each probe, of what it adds to those above it in the suite, and of its work at every step."""
    run = trainer(model, {"probes": {"preset": "all", "every": 10**9}})
    for _ in range(TURN):
        run._train_step()
    hook = run.hooks["probes"]
    costs: dict[str, list[tuple[float, float, float]]] = {name: [] for name in hook._probes}
    for _ in range(rounds):
        plain = seconds(run._train_step, 16) / 16
        hook._subject.remember()
        gradients = [torch.randn_like(p) for p in hook._subject.parameters.values()]
        norms = torch.stack(torch._foreach_norm(gradients)).double()
        run._update()
        seen = (hook._subject, run.step, gradients, norms)
        shared = View(*seen)
        with hook._subject.differentiating():
            for name, probe in hook._probes.items():
                if name == "llc" and costs[name]:
                    continue
                if not costs[name]:
                    probe.measure(View(*seen))  # the first measurement of a probe may cost more
                following = seconds(partial(_follow, probe, seen))
                alone = seconds(partial(_measure, probe, seen))
                beside = seconds(partial(probe.measure, shared))
                costs[name].append((alone / plain, beside / plain, following / plain))
    print(f"\n{model}: {hook._subject.train.rows} rows; training step {1e3 * plain:.2f} ms")
    print(f"{'probe':26} {'alone':>8} {'in suite':>9} {'each step':>10}   (training steps)")
    for name in PROBES:
        if name in costs:
            alone, beside, following = (statistics.median(values) for values in zip(*costs[name], strict=True))
            print(f"{name:26} {alone:8.3f} {beside:9.3f} {following if PROBES[name].every_step else 0:10.3f}")


def _measure(probe: Probe, seen: tuple) -> None:
    probe.measure(View(*seen))


def _follow(probe: Probe, seen: tuple) -> None:
    probe.after_step(View(*seen))


def overhead(model: str, rounds: int) -> None:
    runs = {0: trainer(model, {})} | {k: trainer(model, {"probes": {"every": k}}) for k in INTERVALS}
    for run in runs.values():
        for _ in range(TURN):
            run._train_step()
    took: dict[int, list[float]] = {k: [] for k in runs}
    for _ in range(rounds):
        for k, run in runs.items():
            took[k].append(seconds(run._train_step, TURN))
    ratios = {k: statistics.median(b / a for a, b in zip(took[0], took[k], strict=True)) for k in INTERVALS}
    print(f"{model}: training time with the standard suite at every "
          + ", ".join(f"{k} steps x {ratio:.2f}" for k, ratio in ratios.items()), flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", default=["token_mlp", "transformer", "trm_mlp"])
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    for model in args.model:
        by_probe(model, args.rounds)
        overhead(model, args.rounds)


if __name__ == "__main__":
    main()
