"""`python -m rrm COMMAND`: commands about the platform itself. Nothing heavy is imported for --help."""

import sys

from rrm.commands import doctor, explore, puzzles
from rrm.commands.options import RawText
from rrm.errors import OneLineParser, exit_on_bad_input


@exit_on_bad_input
def main(argv: list[str] | None = None) -> int:
    """Run a command; -> its exit code, 2 for bad arguments."""
    parser = OneLineParser(prog="python -m rrm", description=__doc__.partition("Nothing")[0])
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    one = commands.add_parser(
        "doctor",
        help="check installation, devices, storage, tracking, ports and cluster",
        description=doctor.DESCRIPTION,
        formatter_class=RawText,
    )
    doctor.add_options(one)
    one.set_defaults(run=doctor.run)
    one = commands.add_parser(
        "explore",
        help="open a page with the runs of a store",
        description=explore.DESCRIPTION,
        formatter_class=RawText,
    )
    explore.add_options(one)
    one.set_defaults(run=explore.run)
    one = commands.add_parser(
        "puzzles",
        help="make a rated set of puzzles, or rate one, and look at it",
        description=puzzles.DESCRIPTION,
        formatter_class=RawText,
    )
    puzzles.add_options(one)
    one.set_defaults(run=puzzles.run)
    args = parser.parse_args(argv)
    return args.run(args)


if __name__ == "__main__":
    sys.exit(main())
