"""The command lines of the studies of one checkpoint. Light to import: checks of options come before heavy imports."""

import argparse
from math import isfinite

from rrm.commands.job import run_study_command
from rrm.commands.options import RawText, add_study_options, check_study_options
from rrm.commands.selectors import check_counts, check_rollouts, half_of_state
from rrm.errors import InputError, OneLineParser
from rrm.halves import NOISE

PRECISIONS = ("float32", "mixed", "float64")
MOST_TRACED = {"puzzles": 32, "K": 32}  # as many as one looks through, and rollouts of each


def run_stability_command(description: str, argv: list[str] | None = None) -> None:
    """Run a stability study as a command."""
    run_study_command(lambda arguments: parse_stability(description, arguments), "stability", argv)


def run_selection_command(description: str, argv: list[str] | None = None) -> None:
    """Run a study of noisy rollouts as a command."""
    run_study_command(lambda arguments: parse_selection(description, arguments), "selection", argv)


def run_boards_command(description: str, argv: list[str] | None = None) -> None:
    """Run a trace of a few puzzles as a command."""
    run_study_command(lambda arguments: parse_boards(description, arguments), "boards", argv)


def run_proposals_command(description: str, argv: list[str] | None = None) -> None:
    """Run a study of new puzzles as a command."""
    run_study_command(lambda arguments: parse_proposals(description, arguments), "proposals", argv)


def parse_stability(description: str, argv: list[str] | None = None) -> argparse.Namespace:
    """The options of a stability study, checked where no heavy import is needed."""
    parser = OneLineParser(description=description, formatter_class=RawText)
    add = parser.add_argument
    add("--k", type=int, default=8, help="number of exponents (default: %(default)s)")
    add("--segments", type=int, metavar="T", help="length of the rollouts (default: as in evaluation)")
    add("--transient", type=int, metavar="T", help="segments that the start basis aligns in, left out of the exponents "
        "(default: half of the segments)")  # fmt: skip
    add("--depth", type=int, metavar="T", help="length of the deep rollouts (default: 8 times the segments)")
    add("--precision", default="float32", help="float32, float64, or mixed: float64 tangents along float32 states")
    add("--compile", action="store_true", help="compile the tangents: worth it for thousands of puzzles")
    add("--covariant", action="store_true", help="covariant Lyapunov vectors too, at more than twice the cost")
    add("--local", action="store_true", help="keep the local exponents of every call in the result file")
    add("--seed", type=int, default=0, help="of the start basis and of samples (default: %(default)s)")
    add_study_options(parser, "stability")
    args = parser.parse_args(argv)
    if args.precision not in PRECISIONS:
        raise InputError(f"--precision {args.precision!r} is unknown: use one of {', '.join(PRECISIONS)}")
    check_study_options(args, "k", "segments", "depth")
    return args


def parse_selection(description: str, argv: list[str] | None = None) -> argparse.Namespace:
    """The options of a study of noisy rollouts, checked where no heavy import is needed."""
    parser = OneLineParser(description=description, formatter_class=RawText)
    add = parser.add_argument
    add("--K", type=int, default=16, help="rollouts of every puzzle beside the plain one (default: %(default)s)")
    add("--depth", type=int, nargs="+", metavar="T", help="segments after which to choose (default: as in evaluation)")
    add("--rollouts", default=NOISE, metavar="KIND", help="what makes rollouts differ: noise, or symmetry: symmetric "
        "copies of the puzzle, with noise on top (default: %(default)s)")  # fmt: skip
    add("--sigma", type=float, metavar="S", help="standard deviation of the noise, state units (default: 0.3, on "
        "symmetric copies 0)")  # fmt: skip
    add("--where", default="z_L", help="half of the state that it falls on: z_H, z_L or both (default: %(default)s)")
    add("--lambda", dest="exponent", action="store_true", help="leading exponents of all rollouts, at twice the cost")
    add("--seed", type=int, default=0, help="of the noise and of samples (default: %(default)s)")
    add_study_options(parser, "selection")
    args = parser.parse_args(argv)
    args.segments = None  # of a public checkpoint: as its configuration says
    check_study_options(args, "K")
    args.where = half_of_state(args.where)
    check_rollouts([args.rollouts])
    if args.sigma is None:
        args.sigma = 0.3 if args.rollouts == NOISE else 0.0
    check_counts("depth", args.depth)
    if not (isfinite(args.sigma) and args.sigma >= 0):
        raise InputError(f"--sigma {args.sigma:g} is not a noise scale: use 0 or a positive number")
    return args


def parse_boards(description: str, argv: list[str] | None = None) -> argparse.Namespace:
    """The options of a trace of a few puzzles, checked where no heavy import is needed."""
    parser = OneLineParser(description=description, formatter_class=RawText)
    add = parser.add_argument
    add("--puzzles", type=int, default=4, metavar="N", help="puzzles to trace, half of them solved if there are as "
        "many (default: %(default)s)")  # fmt: skip
    add("--K", type=int, default=4, help="noisy rollouts of each puzzle beside the plain one (default: %(default)s)")
    add("--sigma", type=float, default=0.3, metavar="S", help="standard deviation of the noise, state units (default: "
        "%(default)s)")  # fmt: skip
    add("--where", default="z_L", help="half of the state that it falls on: z_H, z_L or both (default: %(default)s)")
    add("--segments", type=int, metavar="T", help="length of the rollouts (default: as in evaluation)")
    add("--seed", type=int, default=0, help="of the noise and of the choice of puzzles (default: %(default)s)")
    add_study_options(parser, "boards")
    args = parser.parse_args(argv)
    check_study_options(args, "puzzles", "segments")
    args.where = half_of_state(args.where)
    for option, most in MOST_TRACED.items():
        if not 0 <= (given := getattr(args, option)) <= most:
            raise InputError(f"--{option} {given} is not possible: a trace is looked at, use at most {most}")
    if not (isfinite(args.sigma) and args.sigma >= 0):
        raise InputError(f"--sigma {args.sigma:g} is not a noise scale: use 0 or a positive number")
    return args


def parse_proposals(description: str, argv: list[str] | None = None) -> argparse.Namespace:
    """The options of a study of new puzzles, checked where no heavy import is needed."""
    parser = OneLineParser(description=description, formatter_class=RawText)
    add = parser.add_argument
    add("--proposals", type=int, default=256, metavar="N", help="new puzzles of each way (default: %(default)s)")
    add("--length", type=int, default=1, metavar="L", help="moves of a walk in the graph (default: %(default)s)")
    add("--K", type=int, default=16, help="attempts at every puzzle (default: %(default)s)")
    add("--sigma", type=float, default=0.3, metavar="S", help="standard deviation of the noise, state units (default: "
        "%(default)s)")  # fmt: skip
    add("--where", default="both", help="half of the state that it falls on: z_H, z_L or both (default: %(default)s)")
    add("--seed", type=int, default=0, help="of puzzles, noise and samples (default: %(default)s)")
    add_study_options(parser, "proposals")
    args = parser.parse_args(argv)
    args.segments = None  # of a public checkpoint: as its configuration says
    check_study_options(args, "proposals", "length", "K")
    args.where = half_of_state(args.where)
    if args.K < 2:
        raise InputError(f"--K {args.K} says nothing of how often a puzzle is solved: use 2 or more")
    if not (isfinite(args.sigma) and args.sigma > 0):
        raise InputError(f"--sigma {args.sigma:g} makes all attempts alike: use a positive number")
    return args
