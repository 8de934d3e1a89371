"""CPU seconds of the layers that mix positions, in units of attention, by board and by chunk of the delta rule.

    python tests/benchmarks/mixers.py [--repeat 7] [--batch 4] [--width 128] [--chunk 16 32 64 128]

Heads of width 32, rotary positions of a grid, float32, one thread; a pass forward, and one forward and backward. The
ratio is a median over repeats, each of them a pass of attention timed right beside the others. "map" is the attention
map of either layer.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from rrm.models.delta_rule import CHUNK, GatedDeltaRule, scan_order
from rrm.models.layers import Attention, RotaryPositions, grid_places

BOARDS = {"Sudoku 4x4": (16, 4), "Sudoku 9x9": (81, 9), "maze 30x30": (900, 30)}
HEAD_WIDTH = 32


def seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def trained(module: nn.Module, x: Tensor, rotary: RotaryPositions) -> None:
    module(x, rotary).square().sum().backward()


def ratios(cells: int, columns: int, args: argparse.Namespace) -> dict[str, tuple[float, float]]:
    """Milliseconds of a pass, and the median ratio to the pass of attention beside it, by the name of the pass."""
    torch.manual_seed(0)
    rotary = RotaryPositions(grid_places(0, cells, columns), HEAD_WIDTH, theta=10.0)
    x = torch.randn(args.batch, cells, args.width)
    heads = args.width // HEAD_WIDTH
    attention, delta = Attention(args.width, heads), GatedDeltaRule(args.width, scan_order(heads, 0, cells, columns))
    maps = delta.attention_weights, attention.attention_weights
    rows: dict[str, list[tuple[float, float]]] = {}

    def timed(name: str, chunk: int, work: Callable[[], object], beside: Callable[[], object]) -> None:
        delta.chunk = chunk
        rows.setdefault(name, []).append((1e3 * seconds(work), 1e3 * seconds(beside)))

    for _ in range(args.repeat + 1):
        with torch.no_grad():
            for chunk in args.chunk:
                timed(f"forward, chunks of {chunk}", chunk, lambda: delta(x, rotary), lambda: attention(x, rotary))
            timed("map", CHUNK, lambda: maps[0](x, rotary), lambda: maps[1](x, rotary))
        for chunk in args.chunk:
            name = f"forward and backward, chunks of {chunk}"
            timed(name, chunk, lambda: trained(delta, x, rotary), lambda: trained(attention, x, rotary))
    # The first repeat warms up.
    return {
        name: (statistics.median(one for one, _ in of[1:]), statistics.median(one / other for one, other in of[1:]))
        for name, of in rows.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--chunk", type=int, nargs="+", default=[16, 32, 64, 128])
    args = parser.parse_args()
    torch.set_num_threads(1)
    for board, (cells, columns) in BOARDS.items():
        for name, (milliseconds, ratio) in ratios(cells, columns, args).items():
            print(f"{board:>11}  {name:<38} {milliseconds:>9.2f} ms {ratio:>6.2f} x attention", flush=True)


if __name__ == "__main__":
    main()
