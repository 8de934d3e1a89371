"""The command line of a sweep. Nothing heavy is imported before the arguments are understood."""

import argparse
import sys
from pathlib import Path

from rrm.cluster.spec import SweepSpec
from rrm.errors import InputError, exit_on_bad_input

# The form of every --help: the module's docstring as it stands, then the options.
RawText = argparse.RawDescriptionHelpFormatter


class OneLineParser(argparse.ArgumentParser):
    """argparse, except that an error is one line without the usage in front of it."""

    def error(self, message: str):
        self.exit(2, f"error: {message} (--help lists the options)\n")


def parse(spec: SweepSpec, description: str, argv: list[str] | None = None) -> argparse.Namespace:
    """The options of a sweep command, checked as far as that needs no heavy import."""
    parser = OneLineParser(description=description, formatter_class=RawText)
    add = parser.add_argument
    add("--preset", default="default", help=f"budget and data: {', '.join(spec.presets)} (default: %(default)s)")
    add("--model", nargs="+", default=list(spec.models), metavar="NAME", help="model types (default: %(default)s)")
    add("--sigma", nargs="+", type=float, metavar="S", help="perturbation magnitudes to choose from (default: a range)")
    add("--trials", type=int, help="number of trials, baselines included (default: of the preset)")
    add("--data", metavar="DIR_OR_CSV", help="puzzles in the field's source,question,answer,rating format; a folder "
        "holds train.csv and test.csv (default: generated)")  # fmt: skip
    add("--seed", type=int, default=0, help="seed of puzzles, search and training (default: %(default)s)")
    add("--storage", default="runs", metavar="DIR", help="folder of sweeps and MLflow store (default: ./%(default)s)")
    add("--name", help=f"folder and MLflow name of this sweep (default: {spec.name}, or {spec.name}-PRESET)")
    add("--tracking-uri", metavar="URI", help="an MLflow server or store (default: sqlite in the storage folder)")
    add("--address", help="a Ray cluster to connect to (default: a local one)")
    add("--workers-per-trial", type=int, default=1, metavar="N", help="train each trial with DDP on N workers")
    add("--resume", action="store_true", help="carry on with an interrupted sweep")
    add("--verbose", action="store_true", help="show what Ray and Optuna print")
    args = parser.parse_args(argv)

    if args.preset not in spec.presets:
        raise InputError(f"preset {args.preset!r} is unknown: use one of {', '.join(spec.presets)}")
    for sigma in args.sigma or []:
        if not 0 <= sigma < float("inf"):
            raise InputError(f"--sigma {sigma:g} is not a noise scale: use 0 (baseline) or a positive number")
    for option, value in (("--trials", args.trials), ("--workers-per-trial", args.workers_per_trial)):
        if value is not None and value < 1:
            raise InputError(f"{option} {value} is too few: use 1 or more")
    if args.data and not Path(args.data).exists():
        raise InputError(f"--data {args.data} does not exist: name a CSV file, or a folder with train.csv and test.csv")
    args.name = args.name or (spec.name if args.preset == "default" else f"{spec.name}-{args.preset}")
    return args


@exit_on_bad_input
def run_command(spec: SweepSpec, description: str, argv: list[str] | None = None) -> None:
    """Run a sweep as a command: exit code 0, 2 for bad input (one line on stderr), 130 when interrupted."""
    args = parse(spec, description, argv)
    from rrm.cluster.sweep import run_sweep

    try:
        run_sweep(spec, args)
    except KeyboardInterrupt:
        print("\ninterrupted: the same command with --resume carries on", file=sys.stderr)
        sys.exit(130)
