"""Do the exponents of a trained model say more about its failures than "the state has stopped moving"?

    python analysis/lyapunov.py --run RUN_ID                       # a trial of a sweep, on the sweep's test puzzles
    python analysis/lyapunov.py --checkpoint DIR --data FILE       # a checkpoint folder of rrm
    python analysis/lyapunov.py --checkpoint FILE --config FILE.json --data FILE   # a public checkpoint

Measures the Lyapunov spectrum of every puzzle's rollout over Ray tasks, and on the same puzzles everything it has to be
compared with: drift, Q head, margin, an untrained network, transient chaos, deeper rollouts, kicked restarts. Prints
tables, draws figures and logs all of it to MLflow. Finished shards survive an interruption.
"""

import sys
from pathlib import Path

from rrm.cluster.command import OneLineParser, RawText
from rrm.errors import InputError, exit_on_bad_input

PRECISIONS = ("float32", "mixed", "float64")


def parse(argv: list[str] | None = None):
    parser = OneLineParser(description=__doc__, formatter_class=RawText)
    add = parser.add_argument
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--run", metavar="RUN_ID", help="MLflow run of a trial")
    source.add_argument("--checkpoint", metavar="PATH", help="checkpoint folder of rrm, or a public checkpoint file")
    add("--config", metavar="FILE.json", help="configuration of a public checkpoint")
    add("--weights", default="best", help="best or final (default: %(default)s)")
    add("--data", metavar="PATH", help="CSV file, .npz puzzle set or npy folder (default: the run's test puzzles)")
    add("--count", type=int, metavar="N", help="a seeded sample of N puzzles (default: all)")
    add("--k", type=int, default=8, help="number of exponents (default: %(default)s)")
    add("--segments", type=int, metavar="T", help="length of the rollouts (default: as in evaluation)")
    add("--depth", type=int, metavar="T", help="length of the deep rollouts (default: 8 times the segments)")
    add("--precision", default="float32", help="float32, float64, or mixed: float64 tangents along float32 states")
    add("--compile", action="store_true", help="compile the tangents: worth it for thousands of puzzles")
    add("--covariant", action="store_true", help="covariant Lyapunov vectors too, at more than twice the cost")
    add("--local", action="store_true", help="keep the local exponents of every call in the result file")
    add("--seed", type=int, default=0, help="of the start basis and of samples (default: %(default)s)")
    add("--workers", type=int, metavar="N", help="tasks at a time (default: as many as fit)")
    add("--gpus", type=float, default=0, metavar="F", help="fraction of a GPU for each task (default: CPU)")
    add("--storage", default="runs", metavar="DIR", help="folder of studies and MLflow store (default: ./%(default)s)")
    add("--name", help="folder and MLflow name of this study (default: stability-HASH, of the checkpoint)")
    add("--tracking-uri", metavar="URI", help="an MLflow server or store (default: sqlite in the storage folder)")
    add("--address", help="a Ray cluster to connect to (default: a local one)")
    add("--resume", action="store_true", help="carry on with an interrupted study")
    add("--verbose", action="store_true", help="show what Ray prints")
    args = parser.parse_args(argv)
    if args.precision not in PRECISIONS:
        raise InputError(f"--precision {args.precision!r} is unknown: use one of {', '.join(PRECISIONS)}")
    for option in ("count", "k", "segments", "depth", "workers"):
        value = getattr(args, option)
        if value is not None and value < 1:
            raise InputError(f"--{option} {value} is too few: use 1 or more")
    if args.gpus < 0:
        raise InputError(f"--gpus {args.gpus:g} is no share of a GPU: use 0 (CPU) or more")
    for option in ("checkpoint", "data", "config"):
        value = getattr(args, option)
        if value and not Path(value).exists():
            raise InputError(f"--{option} {value} does not exist: correct the path")
    return args


@exit_on_bad_input
def main(argv: list[str] | None = None) -> None:
    args = parse(argv)
    from rrm.cluster.stability import run_study

    try:
        run_study(args)
    except KeyboardInterrupt:
        print("\ninterrupted: the same command with --resume carries on", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
