"""Speed as ratios of runs side by side: training steps, spectra and evaluations, on one thread.

    python tests/benchmarks/speed.py [--public FOLDER] [--only "training, mixer"] [--repeat 5]

Sudoku 9x9 with 16 prefix positions, H 3, L 6, 2 layers, as in the paper; width 128 with batch 32 and width 512 with
batch 8 (spectra: width 128, 8 puzzles, one segment, QR after every call). The runs of a case take turns in one process,
and a ratio is the median over turns of a run to the first run of the case, so that other work on the machine counts on
both sides. What is first:

training: a step of the public code in the same precision or, without FOLDER, an eager step of rrm. FOLDER is a checkout
    of SamsungSAILMontreal/TinyRecursiveModels (needs einops). Its optimizer needs CUDA: both sides take AdamATan2 of
    rrm. bfloat16 only where the processor has products of it.
spectra: a plain rollout of the same puzzles.
evaluation: the matrix products of the same calls and nothing else.

"products" is the share of a run that its matrix products take when they run alone, with the same shapes and strides by
the same library: 100 % would be the machine's own rate of such products. GFLOP/s is the rate of the whole run.
"""

import argparse
import itertools
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode

from rrm.dynamics import lyapunov_spectrum, rollout
from rrm.models import build
from rrm.models.base import RecursiveModel
from rrm.tasks import get_task
from rrm.training.deep_supervision import DeepSupervision
from rrm.training.evaluate import evaluate
from rrm.training.optim import EMA, AdamATan2
from rrm.training.perturbation import TrajectoryPerturbation
from rrm.training.recipes import trm_sudoku

TASK = get_task("sudoku-9x9")
SIZES = ((128, 32), (512, 8))
NETWORKS = {"mixer": {"mlp_t": True, "pos_encodings": "none"}, "attention": {"mlp_t": False, "pos_encodings": "rope"}}
SWIGLUS = ("plain", "normalised")
SEGMENTS = 1

Run = Callable[[], Any]
PRODUCTS = ("aten.mm.default", "aten.bmm.default", "aten.addmm.default", "rrm.product.default")


class Products(TorchDispatchMode):
    """Records the matrix products of a run, and repeats them on random numbers: as many, of the same shapes."""

    def __init__(self, run: Run):
        super().__init__()
        self.calls: list[tuple[Callable[..., Tensor], list[Tensor]]] = []
        self.flops = 0
        self._held: dict[tuple[Any, ...], Tensor] = {}
        # The fused kernels of attention would hide their products.
        with sdpa_kernel(SDPBackend.MATH), self:
            run()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if str(function) in PRODUCTS:
            matrices = [self._like(place, matrix) for place, matrix in enumerate(args[-2:])]
            self.calls.append((torch.bmm if matrices[0].dim() == 3 else function, matrices))
            self.flops += 2 * matrices[0].numel() * matrices[1].shape[-1]
        return function(*args, **(kwargs or {}))

    def _like(self, place: int, matrix: Tensor) -> Tensor:
        key = place, matrix.shape, matrix.stride(), matrix.dtype
        if key not in self._held:
            self._held[key] = torch.empty_strided(matrix.shape, matrix.stride(), dtype=matrix.dtype).normal_()
        return self._held[key]

    @torch.no_grad()
    def __call__(self) -> None:
        for function, matrices in self.calls:
            function(*matrices)


def race(runs: dict[str, Run], repeat: int) -> dict[str, list[float]]:
    """CPU seconds of each run by turn, after a turn that compiles and warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn, (name, run) in itertools.product(range(repeat + 1), runs.items()):
        began = time.process_time()
        run()
        if turn:
            seconds[name].append(time.process_time() - began)
    return seconds


def table(runs: dict[str, Run], products: dict[str, Products], repeat: int) -> None:
    """Print a line for each run, its ratio being to the first one; `products` are those of a run by its name."""
    alone = {f"products of {name}": found for name, found in products.items()}
    seconds = race(runs | alone, repeat)
    first = seconds[next(iter(runs))]
    for name in runs:
        ratio = statistics.median(map(float.__truediv__, seconds[name], first))
        line = f"  {name:<18} {statistics.median(seconds[name]):>8.3f} {ratio:>6.2f}"
        if name in products:
            mine = seconds[f"products of {name}"]
            share = statistics.median(map(float.__truediv__, mine, seconds[name]))
            line += f" {share:>8.0%} {products[name].flops / statistics.median(seconds[name]) / 1e9:>8.0f}"
        print(line, flush=True)


def model_of(network: str, width: int, dtype: str = "float32", **changes: Any) -> RecursiveModel:
    torch.manual_seed(0)
    shape = {"hidden_size": width, "puzzle_emb_ndim": width, "num_heads": width // 32, "forward_dtype": dtype}
    return build(trm_sudoku(TASK).model | shape | NETWORKS[network] | changes)


def batch_of(size: int) -> dict[str, Tensor]:
    tokens = torch.randint(1, TASK.vocab_size, (size, TASK.seq_len), generator=torch.Generator().manual_seed(0))
    rows = torch.arange(size)
    return {"inputs": tokens, "labels": tokens, "puzzle_identifiers": torch.zeros_like(rows), "rows": rows}


def own_step(network: str, width: int, size: int, dtype: str, compiled: bool) -> Run:
    """A training step of rrm: segment, loss, backward, optimizer, average."""
    model = model_of(network, width, dtype).train()
    objective, batch = DeepSupervision(model, TrajectoryPerturbation()), batch_of(size)
    if compiled:
        objective.compile()
    optimizer, ema = AdamATan2(model.parameters(), lr=1e-4, weight_decay=1.0), EMA(model, 0.999)
    carry, generator = objective.initial_carry(batch), torch.Generator().manual_seed(0)

    def step() -> None:
        nonlocal carry
        loss, carry, _ = objective(carry, batch, generator)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        model.puzzle_emb.pending.clear()
        ema.update(model)

    return step


def public_step(network: str, width: int, size: int, dtype: str) -> Run:
    """The same step of the public code."""
    from models.ema import EMAHelper  # type: ignore[import-not-found]
    from models.losses import ACTLossHead  # type: ignore[import-not-found]
    from models.recursive_reasoning.trm import TinyRecursiveReasoningModel_ACTV1  # type: ignore[import-not-found]

    config = dict(batch_size=size, seq_len=TASK.seq_len, puzzle_emb_ndim=width, num_puzzle_identifiers=1,
                  vocab_size=TASK.vocab_size, H_cycles=3, L_cycles=6, H_layers=0, L_layers=2, hidden_size=width,
                  expansion=4, num_heads=width // 32, halt_max_steps=16, halt_exploration_prob=0.1,
                  forward_dtype=dtype, puzzle_emb_len=16, **NETWORKS[network])  # fmt: skip
    torch.manual_seed(0)
    model = ACTLossHead(TinyRecursiveReasoningModel_ACTV1(config), "stablemax_cross_entropy").train()
    batch = batch_of(size)
    del batch["rows"]
    optimizer, ema = AdamATan2(model.parameters(), lr=1e-4, weight_decay=1.0), EMAHelper(0.999)
    ema.register(model)
    carry = model.initial_carry(batch)

    def step() -> None:
        nonlocal carry
        carry, loss, *_ = model(return_keys=[], carry=carry, batch=batch)
        (loss / size).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        ema.update(model)

    return step


def training(network: str, width: int, size: int, dtype: str, public: bool, repeat: int) -> None:
    runs: dict[str, Run] = {"public": public_step(network, width, size, dtype)} if public else {}
    runs["eager"] = own_step(network, width, size, dtype, False)
    runs["compiled"] = own_step(network, width, size, dtype, True)
    products = Products(own_step(network, width, size, dtype, False))
    table(runs, {"eager": products, "compiled": products}, repeat)


def spectra(network: str, swiglu: str, public: bool, repeat: int) -> None:
    model, batch = model_of(network, 128, swiglu=swiglu).eval(), batch_of(8)

    def spectrum(k: int, compiled: bool) -> Run:
        return lambda: lyapunov_spectrum(model, batch, k, SEGMENTS, compiled=compiled)

    runs: dict[str, Run] = {"rollout": lambda: rollout(model, batch, SEGMENTS)}
    products = {"rollout": Products(runs["rollout"])}
    for k in (1, 8, 32):
        eager, compiled = f"k = {k}, eager", f"k = {k}, compiled"
        runs |= {eager: spectrum(k, False), compiled: spectrum(k, True)}
        products[eager] = products[compiled] = Products(runs[eager])
    table(runs, products, repeat)


def evaluation(network: str, width: int, size: int, public: bool, repeat: int) -> None:
    puzzles = TASK.generate(size, seed=0)

    def scores(compiled: bool) -> Run:
        model = model_of(network, width).eval()
        if compiled:
            model.L_level.compile()
        return lambda: evaluate(model, puzzles, TASK, SEGMENTS)

    runs = {"eager": scores(False), "compiled": scores(True)}
    products = Products(runs["eager"])
    table({"products": products, **runs}, dict.fromkeys(runs, products), repeat)


def cases() -> dict[str, Callable[[bool, int], None]]:
    """By name: prints the lines of a case."""
    dtypes = ("float32", "bfloat16") if torch.cpu._is_avx512_bf16_supported() else ("float32",)
    found: dict[str, Callable[[bool, int], None]] = {}
    for dtype, (width, size), network in itertools.product(dtypes, SIZES, NETWORKS):
        found[f"training, {network}, width {width}, {dtype}"] = partial(training, network, width, size, dtype)
    for swiglu, network in itertools.product(SWIGLUS, NETWORKS):
        found[f"spectra, {network}, {swiglu} SwiGLU"] = partial(spectra, network, swiglu)
    for (width, size), network in itertools.product(SIZES, NETWORKS):
        found[f"evaluation, {network}, width {width}"] = partial(evaluation, network, width, size)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--public", metavar="FOLDER", help="a checkout of the public code of TRM")
    parser.add_argument("--only", default="", help="cases with this in their name")
    parser.add_argument("--repeat", type=int, default=5)
    args = parser.parse_args()
    if args.public:
        sys.path.insert(0, args.public)
    torch.set_num_threads(1)
    print(f"{'':<20} {'CPU s':>8} {'ratio':>6} {'products':>8} {'GFLOP/s':>8}")
    for name, case in cases().items():
        if args.only in name:
            print(name, flush=True)
            case(bool(args.public), args.repeat)
            torch.compiler.reset()


if __name__ == "__main__":
    main()
