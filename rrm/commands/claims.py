"""The command line of the table of claims. Light to import: checks of options come before heavy imports."""

import argparse

from rrm.commands.job import run_study_command
from rrm.commands.options import RawText, add_places, check_name, check_places, check_seed
from rrm.errors import InputError, OneLineParser

PRESETS = ("quick", "full")


def run_claims_command(description: str, argv: list[str] | None = None) -> None:
    """Run the table of claims as a command, with the exit codes of every study."""
    run_study_command(lambda arguments: parse(description, arguments), "claims", argv)


def parse(description: str, argv: list[str] | None = None) -> argparse.Namespace:
    """The options, checked where no heavy import is needed."""
    parser = OneLineParser(description=description, formatter_class=RawText)
    add = parser.add_argument
    add("--preset", default="quick", help=f"size of the jobs: {', '.join(PRESETS)} (default: %(default)s)")
    add("--seed", type=int, default=0, help="seed of puzzles, and the first training seed (default: %(default)s)")
    add("--name", help="name of the table, and beginning of the names of its jobs (default: claims-PRESET)")
    add_places(parser)
    add("--resume", action="store_true", help="carry on inside an unfinished job; finished jobs are always found")
    add("--verbose", action="store_true", help="show what Ray prints")
    args = parser.parse_args(argv)
    if args.preset not in PRESETS:
        raise InputError(f"preset {args.preset!r} is unknown: use one of {', '.join(PRESETS)}")
    check_name(args.name)
    check_seed(args.seed)
    check_places(args)
    args.name = args.name or f"claims-{args.preset}"
    return args
