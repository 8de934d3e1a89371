"""The command line of the study of heads. Light to import: checks of options come before heavy imports."""

import argparse

from rrm.commands.job import run_study_command
from rrm.commands.options import RawText, add_study_options, check_study_options
from rrm.errors import InputError, OneLineParser

_WAYS = {"sweep": "give the run of a sweep, or its name", "model": "give a model type of the sweep"}
# Puzzles of a study, and most random sets of heads.
PROBED, MOST_DRAWS = 256, 1000


def run_heads_command(description: str, argv: list[str] | None = None) -> None:
    """Run a study of heads, or those of a whole sweep, as a command, with the exit codes of every study."""
    run_study_command(lambda arguments: parse(description, arguments), "head_sweep", argv)


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
    add("--model", metavar="NAME", help="model type of the sweep, where it has several")
    add("--segments", type=int, metavar="T", help="length of the rollouts (default: as in evaluation)")
    add("--draws", type=int, default=20, metavar="N", help="random sets of heads beside those that change most "
        "(default: %(default)s)")  # fmt: skip
    add("--seed", type=int, default=0, help="of the nulls, of random heads and of samples (default: %(default)s)")
    source = add_study_options(parser, "heads")
    source.add_argument("--sweep", metavar="RUN_ID", help="MLflow run of a sweep, or its name: the studies of all of "
                        "its seeds, and what they say together")  # fmt: skip
    args = parser.parse_args(argv)
    args.arms = []
    check_study_options(args, "segments", "draws")
    args.count = PROBED if args.count is None else args.count
    if args.model is not None and args.sweep is None:
        raise InputError("--model chooses among the trainings of a sweep: give --sweep, or leave --model out")
    if args.sweep and (given := [option for option in (*others, "config", "data") if getattr(args, option)]):
        raise InputError(f"--{given[0]} is of one training, and a sweep brings its own: leave --{given[0]} out")
    for option in (*others, "sweep", "model"):
        if getattr(args, option) == "":
            way = _WAYS.get(option, "give the id of a run, as the MLflow UI shows it, or a folder")
            raise InputError(f"--{option} is empty: {way}")
    if args.draws > MOST_DRAWS:
        raise InputError(
            f"--draws {args.draws} is not possible: every set is a rollout of all puzzles, use at most {MOST_DRAWS}"
        )
    return args
