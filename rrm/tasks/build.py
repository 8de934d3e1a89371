"""Command: build a data set in the files of the field (HRM, TRM) from CSV files with source,question,answer,rating."""

import sys
import time

from rrm.errors import OneLineParser, exit_on_bad_input
from rrm.paths import user_path
from rrm.tasks.build_official import build_official


@exit_on_bad_input
def main(arguments: list[str] | None = None) -> None:
    """Run the command; exit code 2 and one line on stderr on bad input."""
    parser = OneLineParser(prog="python -m rrm.tasks.build", description=__doc__)
    add = parser.add_argument
    add("source", type=user_path, help="CSV file (becomes the train part), or a folder with train.csv and test.csv")
    add("out", type=user_path, help="new folder for train/, test/ and identifiers.json")
    add("--subsample", type=int, help="train puzzles to draw (default: all)")
    add("--augmentations", type=int, default=0, help="symmetric copies of each (default: %(default)s)")
    add("--seed", type=int, default=0, help="seed of sample and copies (default: %(default)s)")
    options = parser.parse_args(arguments)
    started = time.monotonic()

    def report(done: int, total: int) -> None:
        left = (time.monotonic() - started) * (total - done) / done
        print(f"{done} of {total} train puzzles, {left:.0f} s left", file=sys.stderr)

    dataset = build_official(
        options.source, options.out, options.subsample, options.augmentations, options.seed, report
    )
    counts = ", ".join(f"{name} {len(part.inputs)} puzzles" for name, part in dataset.parts.items())
    print(f"{options.out}: {counts}")


if __name__ == "__main__":
    main()
