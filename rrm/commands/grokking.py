"""The command line of the study of runs that grok. Light to import: checks of options come before heavy imports."""

import argparse

from rrm.commands.job import run_study_command
from rrm.commands.options import RawText, add_places, check_exists, check_name, check_places
from rrm.errors import InputError, OneLineParser
from rrm.paths import user_path

WEIGHTS = ("initial", "best", "final")


def run_grokking_command(description: str, argv: list[str] | None = None) -> None:
    """Run the study of grokking as a command, with the exit codes of every study."""
    run_study_command(lambda arguments: parse(description, arguments), "grokking", argv)


def parse(description: str, argv: list[str] | None = None) -> argparse.Namespace:
    """The options, checked where no heavy import is needed."""
    parser = OneLineParser(description=description, formatter_class=RawText)
    add = parser.add_argument
    add("--run", nargs="+", default=[], metavar="RUN_ID", help="MLflow runs of trials or of whole sweeps; or JOB and "
        "JOB/TRIAL of the storage folder, also while the job runs")  # fmt: skip
    add("--checkpoint", nargs="+", default=[], type=user_path, metavar="DIR",
        help="checkpoint folders, for their Fourier structure alone")  # fmt: skip
    add("--weights", default="final", metavar="NAME", help=f"weights of the Fourier structure: {', '.join(WEIGHTS)}, "
        "or the step of a snapshot (default: %(default)s)")  # fmt: skip
    add("--threshold", type=float, default=0.15, metavar="F", help="share of the largest power from which a frequency "
        "is a key frequency, of embedding, logits and ablations (default: %(default)s)")  # fmt: skip
    add("--name", help="folder and MLflow name of this study (default: grokking-study-HASH)")
    add_places(parser, address=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    args.address, args.resume = None, False
    if not args.run and not args.checkpoint:
        raise InputError("there is nothing to read: give --run RUN_ID or --checkpoint DIR")
    if "" in args.run:
        raise InputError("--run is empty: give the id of a run, as the MLflow UI shows it")
    if args.weights not in WEIGHTS and not args.weights.isdecimal():
        raise InputError(
            f"--weights {args.weights!r} are unknown: use one of {', '.join(WEIGHTS)}, or the step of a snapshot"
        )
    if not 0 < args.threshold <= 1:
        raise InputError(f"--threshold {args.threshold:g} is no share of the largest power: use a number up to 1")
    for path in args.checkpoint:
        check_exists("--checkpoint", path, "correct the path")
    check_name(args.name)
    check_places(args)
    return args
