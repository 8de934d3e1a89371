"""Do the exponents of a trained model say more about its failures than "the state has stopped moving"?

    python analysis/lyapunov.py --run RUN_ID                       # a trial of a sweep, on the sweep's test puzzles
    python analysis/lyapunov.py --checkpoint DIR --data FILE       # a checkpoint folder of rrm
    python analysis/lyapunov.py --checkpoint FILE [--config FILE] --data FILE  # a public checkpoint

Measures the Lyapunov spectrum of every puzzle's rollout over Ray tasks. Prints tables, draws figures and logs all of it
to MLflow. The same puzzles serve for every comparison:

null ladder   AUC and held-out log-loss of late drift, settling time, the drift of every segment, Q head, margin and
              entropy; then the gain of λ₁, the spectrum and (--covariant) covariant vectors over all of them. A gain
              counts when it beats 0 and the gain of the null. Where nothing is added, the output says how large a gain
              would have been found.
controls      λ₁ within deciles of late drift, before settling, and before the first segment from which the answer stays
              right, each at several leads. Settling comes some segments after the answer: only the last control asks
              whether λ₁ knows of a failure before it is one.
nulls         transient chaos: exponents of a search that know nothing but when it ended, put in the place of the
              measured ones on the same puzzles and through the same code. Besides, shuffled labels and an untrained
              network.
more          settling against correctness, the horizon curve, rollouts to eight times the depth, restarts from kicked
              states.

The result is one safetensors file, the same bytes for any number of workers. Finished shards survive an interruption.
Exponents start from a random basis; the segments in which it aligns are left out (--transient), and the table gives the
change of the median with another start basis. Estimators compute in float32 or float64 whatever surrounds them, so a
test score in bfloat16 may differ from the study's. `floored` in the file counts local values that cannot be told from
rounding; with many of them trailing exponents say little.

Family and depth of a public checkpoint are those that the file names. Its configuration is found beside it
(latest_config.yaml, all_config.yaml, config.yaml, config.json) or in it, and has to hold the shape of the data
(vocab_size, seq_len, num_puzzle_identifiers). Of several sets of weights the averaged one is taken, or --weights NAME.
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
