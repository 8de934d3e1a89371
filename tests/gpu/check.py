"""Check an accelerator: are the numbers right there, and how fast does it go?

    python tests/gpu/check.py --minutes 9 [--out DIR] [--data FOLDER] [--resume]

Plain PyTorch: torch, numpy, scipy and safetensors are enough, and rrm need not be installed. Without an accelerator the
check runs at tiny sizes, as a rehearsal. tests/gpu/README.md says what the stages are.
"""

import argparse
import importlib
import signal
import subprocess
import sys
import time
import types
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
# In place of the folder of this file, whose modules have names that others use.
sys.path[0] = str(ROOT)
if "tests" not in sys.modules:
    # A package of this name may be installed, and would come before a folder without __init__.py.
    sys.modules["tests"] = types.ModuleType("tests")
    sys.modules["tests"].__path__ = [str(ROOT / "tests")]

import torch  # noqa: E402

from rrm.errors import InputError, OneLineParser, exit_on_bad_input  # noqa: E402
from tests.gpu.parts import MANIFEST  # noqa: E402
from tests.gpu.runner import FINISHED, RESULTS, TABLE, Results, Stage, run_stages  # noqa: E402
from tests.gpu.session import CHECKPOINT, Session  # noqa: E402
from tests.gpu.sizes import SIZES  # noqa: E402


def machine() -> dict[str, Any]:
    """What the check runs on."""
    cuda = torch.cuda.is_available()
    commit = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return {
        "kind": "cuda" if cuda else "cpu",
        "name": torch.cuda.get_device_name() if cuda else "tiny sizes, a rehearsal",
        "memory": f"{torch.cuda.get_device_properties(0).total_memory / 2**30:.0f} GiB" if cuda else None,
        "torch": f"torch {torch.__version__}",
        "cuda": f"CUDA {torch.version.cuda}" if cuda else None,
        "commit": f"commit {commit.stdout.strip()}" if commit.returncode == 0 else None,
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
    }


def stage_command(name: str, args: argparse.Namespace, rows: Path, seconds: float) -> list[str]:
    """The command line of one stage in a process of its own."""
    data = ["--data", args.data] if args.data else []
    return [sys.executable, __file__, "--stage", name, "--rows", str(rows), "--seconds", f"{seconds:.1f}",
            "--out", str(args.out), *data]  # fmt: skip


def run_stage(args: argparse.Namespace) -> None:
    """Run one stage in this process."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    found = Results(args.out, {"kind": device})
    found.resume()
    session = Session(device, SIZES[device], args.seconds, args.rows, args.out, args.data, found.rows())
    importlib.import_module(f"tests.gpu.{args.stage}").run(session)


def check(args: argparse.Namespace) -> int:
    """Run all stages; -> exit code, 1 where something is not as it has to be."""
    began = time.monotonic()
    if not args.minutes > 0:
        raise InputError(f"--minutes {args.minutes:g}: give a positive number")
    if args.data and not Path(args.data).exists():
        raise InputError(f"--data {args.data}: no such file or folder; leave --data out to generate puzzles")
    args.out.mkdir(parents=True, exist_ok=True)
    results = Results(args.out, machine())
    if not args.resume and ((args.out / RESULTS).exists() or (args.out / CHECKPOINT / MANIFEST).exists()):
        raise InputError(f"{args.out} holds results: go on with --resume, or give another --out")
    if (args.out / RESULTS).exists():
        results.resume()
    stages = [
        Stage(name, partial(stage_command, name, args), limit)
        for name, limit in SIZES[results.held["machine"]["kind"]].limits.items()
    ]
    run_stages(stages, results, 60 * args.minutes - (time.monotonic() - began))
    wrong = [row["case"] for rows in results.rows().values() for row in rows if row["holds"] is False]
    unfinished = [name for name in results.rows() if results.stage(name)["status"] != FINISHED]
    print(f"table: {args.out / TABLE}")
    print(f"not as it has to be: {'; '.join(wrong) or 'nothing'}")
    print(f"unfinished: {', '.join(unfinished) or 'nothing'}")
    return 1 if wrong or unfinished else 0


@exit_on_bad_input
def main() -> None:
    parser = OneLineParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=9.0, help="time of the whole check (9)")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "gpu_check", help="folder of the results")
    parser.add_argument("--data", help="puzzles of the training, as for a sweep; default: generated ones")
    parser.add_argument("--resume", action="store_true", help="keep finished stages of --out, and go on with the rest")
    for option, kind in (("--stage", str), ("--rows", Path), ("--seconds", float)):
        parser.add_argument(option, type=kind, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.stage:
        run_stage(args)
        return
    # Ended from outside, the check ends the stage at work too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(check(args))


if __name__ == "__main__":
    main()
