"""The command line of the study of heads. Light to import: checks of options come before heavy imports."""

import argparse

from rrm.commands.job import run_study_command
from rrm.commands.options import RawText, add_study_options, check_study_options
from rrm.errors import InputError, OneLineParser

# Puzzles of a study, and most random sets of heads.
PROBED, MOST_DRAWS = 256, 1000


def run_heads_command(description: str, argv: list[str] | None = None) -> None:
    """Run a study of heads as a command, with the exit codes of every study."""
    run_study_command(lambda arguments: parse(description, arguments), "heads", argv)


def parse(description: str, argv: list[str] | None = None) -> argparse.Namespace:
    """The options, checked where no heavy import is needed."""
    parser = OneLineParser(description=description, formatter_class=RawText)
    add = parser.add_argument
    others = {
        "against": "another training to compare with, a run or a checkpoint folder of rrm",
        "null": "one that differs by chance alone (default: the arm 'other order' of the same sweep and seed)",
        "control": "one on random labels (default: the arm 'random labels' of the same sweep and seed)",
    }
    for option, words in others.items():
        add(f"--{option}", metavar="RUN_ID", help=words)
    add("--segments", type=int, metavar="T", help="length of the rollouts (default: as in evaluation)")
    add("--draws", type=int, default=10, metavar="N", help="random sets of heads beside those that change most "
        "(default: %(default)s)")  # fmt: skip
    add("--seed", type=int, default=0, help="of the nulls, of random heads and of samples (default: %(default)s)")
    add_study_options(parser, "heads")
    args = parser.parse_args(argv)
    check_study_options(args, "segments", "draws")
    args.count = PROBED if args.count is None else args.count
    for option in others:
        if getattr(args, option) == "":
            raise InputError(f"--{option} is empty: give the id of a run, as the MLflow UI shows it, or a folder")
    if args.draws > MOST_DRAWS:
        raise InputError(
            f"--draws {args.draws} is not possible: every set is a rollout of all puzzles, use at most {MOST_DRAWS}"
        )
    return args
