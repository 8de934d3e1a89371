"""Do the exponents of a trained model say more about its failures than "the state has stopped moving"?

    python analysis/lyapunov.py --run RUN_ID                       # a trial of a sweep, on the sweep's test puzzles
    python analysis/lyapunov.py --checkpoint DIR --data FILE       # a checkpoint folder of rrm
    python analysis/lyapunov.py --checkpoint FILE --config FILE.json --data FILE   # a public checkpoint

Measures the Lyapunov spectrum of every puzzle's rollout over Ray tasks, and on the same puzzles everything it has to be
compared with: drift, Q head, margin, an untrained network, transient chaos, deeper rollouts, kicked restarts. Prints
tables, draws figures and logs all of it to MLflow. Finished shards survive an interruption.
"""

from rrm.commands.job import run_study_command
from rrm.commands.options import RawText, add_study_options, check_study_options
from rrm.errors import InputError, OneLineParser

PRECISIONS = ("float32", "mixed", "float64")


def parse(argv: list[str] | None = None):
    parser = OneLineParser(description=__doc__, formatter_class=RawText)
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


def main(argv: list[str] | None = None) -> None:
    run_study_command(parse, "stability", argv)


if __name__ == "__main__":
    main()
