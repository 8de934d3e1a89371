"""Which of K noisy rollouts is to be believed, and do the Q head and stability say the same? Fig. 4.

    python analysis/qhead_stability.py --run RUN_ID                     # a trial, on its sweep's test puzzles
    python analysis/qhead_stability.py --checkpoint DIR --data FILE     # a checkpoint folder of rrm

Runs every puzzle K times with Gaussian noise on the latent state at the start of every segment, over Ray tasks, and
chooses among the rollouts at random, by majority, Q head, residual, stability and, with --lambda, the leading exponent.
Prints the accuracy of each choice against K with its distance from the oracle, how well Q is calibrated, and whether Q
and stability agree within problems; draws and logs all of it to MLflow. Finished shards survive an interruption.
"""

from math import isfinite

from rrm.commands.job import run_study_command
from rrm.commands.options import RawText, add_study_options, check_study_options
from rrm.commands.selectors import check_counts, half_of_state
from rrm.errors import InputError, OneLineParser


def parse(argv: list[str] | None = None):
    parser = OneLineParser(description=__doc__, formatter_class=RawText)
    add = parser.add_argument
    add("--K", type=int, default=16, help="noisy rollouts of every puzzle (default: %(default)s)")
    add("--depth", type=int, nargs="+", metavar="T", help="segments after which to choose (default: as in evaluation)")
    add("--sigma", type=float, default=0.3, help="standard deviation of the noise, state units (default: %(default)s)")
    add("--where", default="z_L", help="half of the state that it falls on: z_H, z_L or both (default: %(default)s)")
    add("--lambda", dest="exponent", action="store_true", help="leading exponents of all rollouts, at twice the cost")
    add("--seed", type=int, default=0, help="of the noise and of samples (default: %(default)s)")
    add_study_options(parser, "selection")
    args = parser.parse_args(argv)
    args.segments = None  # of a public checkpoint: as its configuration says
    check_study_options(args, "K")
    args.where = half_of_state(args.where)
    check_counts("depth", args.depth)
    if not (isfinite(args.sigma) and args.sigma >= 0):
        raise InputError(f"--sigma {args.sigma:g} is not a noise scale: use 0 or a positive number")
    return args


def main(argv: list[str] | None = None) -> None:
    run_study_command(parse, "selection", argv)


if __name__ == "__main__":
    main()
