"""What probes are worth and cost: exact values, each probe in training steps, and the suite at every 1 to 64 steps.

    python tests/benchmarks/probes.py [--model token_mlp transformer trm_mlp] [--rounds 5]

Networks of tokens: p 59, a + b, train share .4, full batch of 1,392 pairs, AdamW, as `rrm.training.grokking`.
trm_mlp: that of `cpu_sudoku` on 6 x 6 Sudoku, batch 32, AdamATan2.
Overhead: trainings without probes and at each interval take turns of 16 steps, eight to a round, in CPU seconds of one
thread; the median over rounds of probed over plain. At every 64th step measurements are a quarter as many as at every
16th. "at once" is the standard suite by names, without turns. That of all probes is the standard one's and the costs of
structure, layers and llc, divided by their turns.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import probe_oracles
import torch

from rrm.probes import PRESETS, PROBES, Probe, View
from rrm.tasks import get_task
from rrm.tasks.splits import generate_splits
from rrm.training.assemble import assemble
from rrm.training.grokking import grokking
from rrm.training.recipes import cpu_sudoku
from rrm.training.trainer import Trainer

INTERVALS = (1, 4, 16)
TURN, TURNS = 16, 8  # steps, and turns of a round: at every 16th step each slow probe comes once
# Cockpit's published times of training on a CPU, its MLP on MNIST, by tracking interval (results_grid.zip of
# fsschneider/cockpit-experiments).
COCKPIT = {"economy": (63, 18, 5.2, 2.1), "full": (260, 67, 17, 5.1)}


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


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    print()
    for cells in (header, ["---"] * len(header), *rows):
        print("| " + " | ".join(cells) + " |")
    print(flush=True)


def oracles() -> None:
    rows = []
    for line in probe_oracles.lines():
        error = abs(line.measured - line.exact) / (abs(line.exact) or 1.0)
        spread = "" if line.spread is None else f"{line.spread:.2f}"
        rows.append([line.number, line.oracle, f"{line.exact:.6g}", f"{line.measured:.6g}", f"{error:.0e}", spread])
    markdown(["number", "oracle", "exact", "measured", "relative error", "spread of one draw"], rows)


def by_probe(model: str, rounds: int) -> dict[str, tuple[float, float, float]]:
    """Of each probe its cost in training steps: alone, beside the others of the suite, and at every step."""
    run = trainer(model, {"probes": {"preset": "all", "every": 10**9}})
    for _ in range(TURN):
        run._train_step()
    hook = run.hooks["probes"]
    costs: dict[str, list[tuple[float, float, float]]] = {name: [] for name in hook._probes}
    for _ in range(rounds):
        plain = trainer_seconds(run, 16)
        hook._subject.remember()
        trainer_seconds(run, 1)
        gradients = [torch.randn_like(p) for p in hook._subject.parameters.values()]
        norms = torch.stack(torch._foreach_norm(gradients))
        seen = (hook._subject, run.step, gradients, norms)
        shared = View(*seen)
        with hook._subject.differentiating():
            for name, probe in hook._probes.items():
                if name == "llc" and costs[name]:
                    continue
                if not costs[name]:
                    probe.measure(View(*seen))  # the first measurement of a probe may cost more
                following = seconds(partial(_follow, probe, seen), 64) / 64 if PROBES[name].every_step else 0.0
                alone = seconds(partial(_measure, probe, seen))
                beside = seconds(partial(probe.measure, shared))
                costs[name].append((alone / plain, beside / plain, following / plain))
    return {
        name: tuple(statistics.median(values) for values in zip(*found, strict=True)) for name, found in costs.items()
    }


def trainer_seconds(run: Trainer, steps: int) -> float:
    """The time of a step, without that of its probes."""
    hooks, run.hooks = run.hooks, {}
    took = seconds(run._train_step, steps) / steps
    run.hooks = hooks
    return took


def _measure(probe: Probe, seen: tuple) -> None:
    probe.measure(View(*seen))


def _follow(probe: Probe, seen: tuple) -> None:
    probe.after_step(View(*seen))


def overhead(model: str, standard: list[str], rounds: int) -> dict[str, float]:
    """The time of training with probes, in that of training without, by what is measured."""
    at_once = {"names": standard, "every": 16}
    settings = {f"every {k}": {"every": k} for k in INTERVALS} | {"at once": at_once, "each step": {"every": 10**9}}
    runs = {"plain": trainer(model, {})} | {name: trainer(model, {"probes": one}) for name, one in settings.items()}
    for run in runs.values():
        for _ in range(TURN):
            run._train_step()
    took: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        sums = dict.fromkeys(runs, 0.0)
        for _ in range(TURNS):
            for name, run in runs.items():
                sums[name] += seconds(run._train_step, TURN)
        for name, total in sums.items():
            took[name].append(total)
    return {name: statistics.median(b / a for a, b in zip(took["plain"], took[name], strict=True)) for name in settings}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", default=["token_mlp", "transformer", "trm_mlp"])
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    oracles()
    costs = {model: by_probe(model, args.rounds) for model in args.model}
    rows = [
        [name, str(PROBES[name].turns)]
        + [
            f"{found[name][1]:.3f}" + (f" + {found[name][2]:.3f} a step" if found[name][2] else "")
            if name in found
            else "-"
            for found in costs.values()
        ]
        for name in PROBES
    ]
    markdown(["probe", "one of so many measurements", *(f"{model} (training steps)" for model in args.model)], rows)
    rows = []
    for model in args.model:
        found = overhead(model, [name for name in PRESETS["standard"] if name in costs[model]], args.rounds)
        rare = sum(
            costs[model][name][1] / PROBES[name].turns
            for name in set(PRESETS["all"]) - set(PRESETS["standard"])
            if name in costs[model]
        )
        times = {k: found[f"every {k}"] for k in INTERVALS}
        times[64] = found["each step"] + (times[16] - found["each step"]) / 4
        rows.append([f"{model}, standard", *(f"x {time:.3f}" for time in times.values())])
        rows.append([f"{model}, all", *(f"x {time + rare / k:.3f}" for k, time in times.items())])
        rows.append([f"{model}, standard at once", "", "", f"x {found['at once']:.3f}", ""])
        rows.append([f"{model}, what every step costs", "", "", f"x {found['each step']:.3f}", ""])
    rows += [[f"Cockpit, {name}", *(f"x {value:g}" for value in values)] for name, values in COCKPIT.items()]
    markdown(["training time at every", *(f"{k} steps" for k in (*INTERVALS, 64))], rows)


if __name__ == "__main__":
    main()
