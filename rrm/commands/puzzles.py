"""`python -m rrm puzzles`: make a rated set of puzzles, or rate one, and look at it."""

import argparse
from collections.abc import Callable
from pathlib import Path

from rrm.commands.options import check_exists, check_seed, check_storage
from rrm.errors import InputError
from rrm.paths import user_path

SAMPLE = 1000  # puzzles on which the noise of ratings is measured

DESCRIPTION = """Make a set of puzzles with ratings of their difficulty, or rate a set, and look at it.

    python -m rrm puzzles --task sudoku-6x6 --givens 10 16 --count 1000 --out rated.csv
    python -m rrm puzzles --task sudoku-9x9 --hard 0.5 --count 1000      # half of them with 10 guesses or more
    python -m rrm puzzles --data puzzles.csv --count 3000 --out rated.csv

The rating of a Sudoku is the mean round of singles in which a cell gets its digit, plus the guesses of a search over 20
symmetric copies; that of a maze is the number of steps of a shortest path. Prints tiers of equal size, a histogram, and
the noise of the ratings. A file from --out is --data of any sweep, whose curricula read its ratings. The folder
--storage keeps sets: the same command again takes no time."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    add = parser.add_argument
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--task", metavar="NAME", help="task of new puzzles: sudoku-6x6, maze-10x10, ...")
    source.add_argument("--data", type=user_path, metavar="PATH",
                        help="puzzles to rate: CSV file, .npz puzzle set or npy folder")  # fmt: skip
    add("--count", type=int, metavar="N", help="number of new puzzles (default: 1000), or a seeded sample of --data "
        "(default: all)")  # fmt: skip
    add("--givens", type=int, nargs="+", metavar="G", help="given cells of new Sudokus: a number, or the lowest and "
        "the highest (default: those of the task)")  # fmt: skip
    add("--hard", type=float, metavar="SHARE", help="share of new 9 x 9 Sudokus with 10 guesses or more, which a "
        "search in the vicinity of hard puzzles finds (default: random puzzles)")  # fmt: skip
    add("--seed", type=int, default=0, help="of puzzles, samples and ratings (default: %(default)s)")
    add("--tiers", type=int, default=3, metavar="N", help="tiers of the table (default: %(default)s)")
    add("--out", type=user_path, metavar="FILE", help="write the rated set: FILE.csv or FILE.npz")
    add("--storage", type=user_path, default="runs", metavar="DIR", help="folder that keeps sets (default: "
        "./%(default)s)")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Make or rate the set, print what it holds, and write it; -> exit code."""
    _check(args)
    from rrm.reports.puzzles import set_lines
    from rrm.studies.sources import find_puzzles, sample_rows
    from rrm.tasks.difficulty import noise
    from rrm.tasks.puzzle_csv import write_puzzles
    from rrm.tasks.rated_sets import generate_rated, rate_again

    cache = Path(args.storage) / "puzzles"
    stated = None
    if args.task:
        givens, count = args.givens and (args.givens[0], args.givens[-1]), args.count or 1000
        puzzles = generate_rated(args.task, count, args.seed, givens, args.hard, cache, _progress(count))
    else:
        given = find_puzzles(args, cache, "")
        puzzles, stated = rate_again(given, args.seed, cache, _progress(len(given))), given.rating
    sample = puzzles.subset(sample_rows(len(puzzles), SAMPLE, args.seed))
    noises = noise(sample, args.seed + 1) if len(sample) > 1 else {}
    lines = set_lines(puzzles, noises, args.tiers, stated)
    print(f"{puzzles.task}: {len(puzzles)} rated puzzles\n", *lines, sep="\n")
    if args.out and Path(args.out).suffix == ".csv":
        write_puzzles(args.out, puzzles)
    elif args.out:
        puzzles.save(args.out)
    if args.out:
        print(f"\nwritten   {args.out}")
    return 0


def _progress(count: int) -> Callable[[int], None]:
    """A function that shows how many puzzles are rated, where rating takes more than some seconds."""
    if count <= SAMPLE:
        return lambda rows: None
    from rrm.terminal.progress import Bar

    return Bar("rating", count).advance


def _check(args: argparse.Namespace) -> None:
    """InputError for options that do not fit each other."""
    check_storage(args.storage)
    check_seed(args.seed)
    if args.data:
        check_exists("--data", args.data, "correct the path")
        for option in ("givens", "hard"):
            if getattr(args, option) is not None:
                raise InputError(f"--{option} is of new puzzles: give it with --task, not with --data")
    if args.count is not None and args.count < 1:
        raise InputError(f"--count {args.count} is too few: use 1 or more")
    if args.tiers < 1:
        raise InputError(f"--tiers {args.tiers} is too few: use 1 or more")
    if args.givens and len(args.givens) > 2:
        raise InputError(f"--givens {' '.join(map(str, args.givens))}: use a number, or the lowest and the highest")
    if args.hard is not None and not 0 <= args.hard <= 1:
        raise InputError(f"--hard {args.hard:g} is no share: use 0 to 1")
    if args.out:
        out = Path(args.out)
        if out.suffix not in (".csv", ".npz") or out.is_dir() or not out.absolute().parent.is_dir():
            raise InputError(f"--out {out} cannot be written: name a .csv or .npz file in a folder that exists")
    args.run = None  # the puzzles of a study can come from a run
