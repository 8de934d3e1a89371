"""The command line of a sweep over test-time settings. Light to import: checks of options come before heavy imports."""

import argparse
from collections.abc import Sequence
from math import isfinite

from rrm.commands.job import run_study_command
from rrm.commands.options import RawText, add_study_options, check_study_options
from rrm.errors import InputError, OneLineParser
from rrm.halves import CHOICES, ROLLOUTS, current_name
from rrm.jobs.selector_spec import SelectorSpec


def run_selector_command(spec: SelectorSpec, description: str, argv: list[str] | None = None) -> None:
    """Run a sweep over test-time settings as a command, with the exit codes of every study."""
    run_study_command(lambda arguments: parse(spec, description, arguments), "selector_sweep", argv)


def parse(spec: SelectorSpec, description: str, argv: list[str] | None = None) -> argparse.Namespace:
    """The options, checked where no heavy import is needed."""
    parser = OneLineParser(description=description, formatter_class=RawText)
    add = parser.add_argument
    add("--sigma", type=float, nargs="+", metavar="S", default=list(spec.sigmas),
        help="standard deviations of the noise to choose from, state units (default: %(default)s)")  # fmt: skip
    add("--where", nargs="+", metavar="HALF", default=list(spec.where),
        help=f"halves of the state it may fall on: {', '.join(CHOICES)} (default: %(default)s)")  # fmt: skip
    add("--rollouts", nargs="+", metavar="KIND", default=list(spec.rollouts), help="what makes rollouts differ: noise "
        "of every sigma and half, symmetry for symmetric copies without noise (default: %(default)s)")  # fmt: skip
    add("--K", type=int, nargs="+", default=list(spec.K), metavar="K", help="rollouts (default: %(default)s)")
    add("--depth", type=int, nargs="+", metavar="T", help="segments after which to choose an answer (default: "
        f"{', '.join(f'{share:g}' for share in spec.depths)} of those in evaluation)")  # fmt: skip
    add("--choose-on", type=float, default=spec.choose_on, metavar="N", help="share (below 1) or number of the puzzles "
        "on which sigma and half are chosen; the table is made on the others (default: %(default).3g)")  # fmt: skip
    add("--seed", type=int, default=0, help="of the noise and of samples (default: %(default)s)")
    add_study_options(parser, "selector")
    args = parser.parse_args(argv)
    args.segments = None  # for a public checkpoint: the number in its configuration
    args.depth_shares, args.deepest = list(spec.depths), spec.deepest
    check_study_options(args)
    for sigma in args.sigma:
        if not (isfinite(sigma) and sigma > 0):
            raise InputError(f"--sigma {sigma:g} is not a noise scale: use positive numbers, no noise is always there")
    args.where = [half_of_state(where) for where in args.where]
    check_rollouts(args.rollouts)
    for option, values in (("K", args.K), ("depth", args.depth)):
        check_counts(option, values)
    for option, values in (
        ("sigma", [f"{sigma:g}" for sigma in args.sigma]), ("where", args.where), ("rollouts", args.rollouts)
    ):  # fmt: skip
        if len(set(values)) < len(values):
            raise InputError(f"--{option} {' '.join(values)} names one of them twice: give each once")
    if not (0 < args.choose_on < 1 or (args.choose_on >= 2 and args.choose_on.is_integer())):
        raise InputError(
            f"--choose-on {args.choose_on:g}: use a share between 0 and 1, or a number of puzzles from 2 on"
        )
    return args


def half_of_state(where: str) -> str:
    """The value of --where as it is spelled today; the older "H" and "L" are understood.

    Raises:
        InputError: the value is no half of the state.
    """
    if current_name(where) not in CHOICES:
        raise InputError(f"--where {where!r} is no half of the state: use one of {', '.join(CHOICES)}")
    return current_name(where)


def check_rollouts(names: Sequence[str]) -> None:
    """InputError for what no rollouts can differ by."""
    for name in names:
        if name not in ROLLOUTS:
            raise InputError(f"--rollouts {name!r} is unknown: use one of {', '.join(ROLLOUTS)}")


def check_counts(option: str, values: Sequence[int] | None) -> None:
    """InputError for numbers below 1, and for a number that is given twice."""
    if values and (min(values) < 1 or len(set(values)) < len(values)):
        raise InputError(f"--{option} {' '.join(map(str, values))} is not possible: use different numbers, 1 or more")
