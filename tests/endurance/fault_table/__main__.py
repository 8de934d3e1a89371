"""What a user sees and loses when something breaks: every fault provoked by a real command, on tiny sizes.

    python -m tests.endurance.fault_table [--only NAME ...] [--jobs N] [--moments N] [--keep]

Commands run from a clone of the last commit, because result files name their commit, with the faults of
`tests/endurance/faults/sitecustomize.py`. The table gives for each fault: exit code and last line, the work that was
done twice, and whether everything is as it should be. After --resume that means the same trials, scores and result
files as in an unbroken run, the same metric points in MLflow, no run left RUNNING and no process of Ray left behind.
The exit code is 1 where a row is not as it should be.
"""

import argparse
import random
import re
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.endurance.fault_table.registry import ROWS, fault
from tests.endurance.fault_table.row import Row
from tests.endurance.fault_table.rows.signals import at_any_moment
from tests.endurance.fault_table.table import Table


def provoke(name: str, table: Table) -> Row:
    """Run one row; an error of the harness counts as a problem of the row."""
    _, function = ROWS[name]
    row = Row(name, table.work, table)
    began = time.monotonic()
    try:
        function(row)
    except Exception as error:
        row.problems.append(f"{type(error).__name__}: {error}"[:300])
    row.seconds = time.monotonic() - began
    verdict = "ok" if not row.problems else "NOT as it should be"
    print(
        f"{time.strftime('%H:%M:%S')} {name}: {verdict}, {row.seconds:.0f} s; {row.sees}; lost: {row.lost}", flush=True
    )
    for problem in row.problems:
        print(f"    {problem}", flush=True)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.endurance.fault_table",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", nargs="*", choices=ROWS, metavar="NAME", help=f"of {', '.join(ROWS)}")
    parser.add_argument("--jobs", type=int, default=1, help="rows at a time (default: %(default)s)")
    parser.add_argument("--moments", type=int, default=0, metavar="N",
                        help="N more rows: signals at moments drawn at random")  # fmt: skip
    parser.add_argument("--keep", action="store_true", help="keep the folders of the runs")
    args = parser.parse_args()
    names, first = list(ROWS) if args.only is None else args.only, random.SystemRandom().randrange(10**6)
    for number in range(first, first + args.moments):
        names.append(f"moment-{number}")
        fault(names[-1], "a signal at any moment", number)(at_any_moment)
    work = Path(tempfile.mkdtemp(prefix="ft-"))
    table, began = Table(work), time.monotonic()
    print(f"commit {table.commit}, {time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())}, in {work}", flush=True)
    try:
        with ThreadPoolExecutor(args.jobs) as pool:
            rows = list(pool.map(lambda name: provoke(name, table), names))
    finally:
        if not args.keep:
            shutil.rmtree(work, ignore_errors=True)
    print("\n| fault | command | what the user sees [exit code] | done twice | as it should be? | s |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        shown = re.sub(rf"{work}/[^ ]*/|{work}/", "", row.shown)
        verdict = "yes" if not row.problems else "NO: " + "; ".join(row.problems)
        cells = (f"{ROWS[row.name][0]} ({row.name})", f"`{shown}`", row.sees, row.lost, verdict, f"{row.seconds:.0f}")
        print("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
    good = sum(not row.problems for row in rows)
    print(f"\n{good} of {len(rows)} as they should be, {time.monotonic() - began:.0f} s")
    sys.exit(good < len(rows))


if __name__ == "__main__":
    main()
