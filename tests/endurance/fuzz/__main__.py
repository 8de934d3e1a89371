"""Damaged and hostile files for every reader: each must be accepted and sound, or refused by one clear line.

    python -m tests.endurance.fuzz [--inputs 1000] [--seed 0] [--reader NAME ...] [--case NUMBER]

Case i of a reader is the same for the same seed. Cases run in a child process with 512 MB of memory beyond its start
and 20 seconds of CPU for each case; a child that dies or stalls is replaced, and its case counts as a crash or a hang.
A refusal for want of memory counts as a crash too: a reader has to bound sizes before it allocates. Accepted content is
used (puzzles verified, models run), and a failure there is a crash. `--case` runs one case and shows it.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import torch

from tests.endurance.fuzz.cases import fuzz, judge, write_case
from tests.endurance.fuzz.readers import READERS


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.endurance.fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--inputs", type=int, default=1000, help="cases of each reader (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reader", nargs="+", choices=READERS, default=list(READERS), metavar="NAME")
    parser.add_argument("--case", type=int, help="run one case of one reader here and show it")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.case is not None:
        with tempfile.TemporaryDirectory(prefix="fuzz-") as scratch:
            whole, folder = Path(scratch) / "whole", Path(scratch) / "case"
            whole.mkdir()
            READERS[options.reader[0]][0](whole)
            write_case(options.reader[0], options.seed, options.case, whole, folder)
            print(*judge(options.reader[0], folder), sep="\n")
        return 0
    bad = 0
    rows = ["| reader | inputs | accepted | refused | crashes | hangs | peak MB |", "|---|---|---|---|---|---|---|"]
    for name in options.reader:
        outcomes, peak = fuzz(name, options.inputs, options.seed)
        bad += outcomes["crash"] + outcomes["hang"]
        counts = " | ".join(str(outcomes[key]) for key in ("accepted", "refused", "crash", "hang"))
        rows.append(f"| {name} | {outcomes.total()} | {counts} | {peak:.0f} |")
        print(rows[-1], flush=True)
    print("\n".join(rows))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
