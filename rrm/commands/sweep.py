"""The command line of a sweep. Light to import: checks of options come before heavy imports."""

import argparse
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from rrm.commands.job import resumable
from rrm.commands.options import RawText, add_places, check_exists, check_name, check_places, check_seed
from rrm.errors import InputError, OneLineParser, exit_on_bad_input
from rrm.jobs.grid import NONE, Axis, GridSpec
from rrm.jobs.spec import SweepSpec
from rrm.paths import user_path


def parse(
    spec: SweepSpec, description: str, argv: list[str] | None = None, axes: Mapping[str, Axis] = MappingProxyType({})
) -> argparse.Namespace:
    """The options of a sweep command, checked where no heavy import is needed; one for each of the `axes` of a grid."""
    parser = OneLineParser(description=description, formatter_class=RawText)
    add, objectives = parser.add_argument, list(spec.objectives)
    add("--preset", default="default", help=f"budget and data: {', '.join(spec.presets)} (default: %(default)s)")
    if axes:
        for name, axis in axes.items():
            words = axis.words.replace("%", "%%")
            add(f"--{name.replace('_', '-')}", nargs="+", type=_reader(name, axis), metavar="V",
                help=f"{axis.meaning} (default: {words}, unless the preset has others)")  # fmt: skip
    else:
        add("--model", nargs="+", default=list(spec.models), metavar="NAME", help="model types (default: %(default)s)")
    if spec.takes_sigma:
        add("--sigma", nargs="+", type=float, metavar="S", help="noise scales to choose from (default: a range)")
    if spec.space:
        add("--trials", type=int, help="configurations tried, baselines included (default: of the preset)")
        add("--objectives", nargs="+", choices=objectives, default=objectives[:1], metavar="NAME",
            help=f"what the search optimises, among {', '.join(objectives)}; several give a Pareto front, and stop "
            f"no trial early (default: {objectives[0]})")  # fmt: skip
    add("--seeds", type=int, metavar="N", help="training seeds of the final comparison (default: of the preset)")
    add("--steps", type=int, metavar="N", help="optimizer steps of a plain trial (default: of the preset)")
    add("--evaluations", type=int, metavar="N", help="evaluations of a trial, each of which leaves a checkpoint "
        "(default: of the preset)")  # fmt: skip
    add("--probes", nargs="+", metavar="NAME", help="look at weights, curvature, optimizer and path of every training: "
        "light, standard, layered or all, of which slow ones take turns, or names of rrm.probes; series of its curve "
        f"file (default: {spec.probes.get('preset', NONE)})")  # fmt: skip
    add(
        "--probe-every",
        type=int,
        metavar="N",
        help=f"steps between two measurements (default: {spec.probes.get('every', 16)})",
    )
    add("--probe-budget", type=float, metavar="SHARE", help="the most time for probes as a share of that of the "
        "training: they measure less often to stay within it, such as 0.1 (default: "
        f"{spec.probes.get('budget', 'no bound')})")  # fmt: skip
    add("--data", type=user_path, metavar="DIR_OR_CSV", help="puzzles, source,question,answer,rating as in "
        "Sudoku-Extreme: a CSV file, or a folder with train.csv and test.csv; or an npy folder of the field. As many "
        "as the preset says are drawn; repeated puzzles count once (default: generated)")  # fmt: skip
    add("--seed", type=int, default=0, help="seed of puzzles, search and training (default: %(default)s)")
    add("--name", help=f"folder and MLflow name of this sweep (default: {spec.name}, or {spec.name}-PRESET)")
    add_places(parser)
    add("--workers-per-trial", type=int, default=1, metavar="N", help="train each trial with DDP on N workers")
    add("--resume", action="store_true", help="carry on with an interrupted sweep, also after an update of rrm "
        "or on another cluster: finished trials stay, and nothing is logged twice")  # fmt: skip
    add("--dry-run", action="store_true", help="check everything, list the trials, and start none")
    add("--verbose", action="store_true", help="show what Ray and Optuna print")
    parser.set_defaults(sigma=None, trials=None, objectives=objectives[:1])
    args = parser.parse_args(argv)

    if args.preset not in spec.presets:
        raise InputError(f"preset {args.preset!r} is unknown: use one of {', '.join(spec.presets)}")
    for sigma in args.sigma or []:
        if not 0 <= sigma < float("inf"):
            raise InputError(f"--sigma {sigma:g} is not a noise scale: use 0 (baseline) or a positive number")
    watched = args.probes != [NONE] if args.probes else bool(spec.probes)
    if not watched and (args.probe_every is not None or args.probe_budget is not None):
        raise InputError("--probe-every and --probe-budget are of probes: name some, such as --probes standard")
    if objectives[0] not in args.objectives or len(set(args.objectives)) < len(args.objectives):
        raise InputError(
            f"--objectives {' '.join(args.objectives)} is not possible: name {objectives[0]}, without which models "
            f"that learn nothing win, and each of {', '.join(objectives[1:])} at most once"
        )
    for option in ("trials", "seeds", "steps", "evaluations", "workers_per_trial"):
        value = getattr(args, option)
        if value is not None and value < 1:
            raise InputError(f"--{option.replace('_', '-')} {value} is too few: use 1 or more")
    check_name(args.name)
    check_seed(args.seed)
    if args.data:
        check_exists("--data", args.data, "name a CSV file, or a folder with train.csv and test.csv")
    check_places(args)
    args.name = args.name or (spec.name if args.preset == "default" else f"{spec.name}-{args.preset}")
    return args


def _reader(name: str, axis: Axis) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        try:
            return axis.read(text)
        except ValueError:
            message = f"{text!r} is no value of {name}: use values such as {axis.words}"
            raise argparse.ArgumentTypeError(message) from None

    return read


def parse_grid(spec: GridSpec, description: str, argv: list[str] | None = None) -> tuple[SweepSpec, argparse.Namespace]:
    """The sweep of a grid on the axes of its preset and of the command line, and the options."""
    args = parse(spec.sweep("default", {}), description, argv, spec.axes)
    made = spec.sweep(args.preset, {name: getattr(args, name) for name in spec.axes})
    args.model = list(made.models)
    return made, args


@exit_on_bad_input
def run_command(spec: SweepSpec | GridSpec, description: str, argv: list[str] | None = None) -> None:
    """Run a sweep as a command: exit code 0, 2 for bad input (one line on stderr), 130 when interrupted."""
    if isinstance(spec, GridSpec):
        spec, args = parse_grid(spec, description, argv)
    else:
        args = parse(spec, description, argv)
    with resumable(args):
        from rrm.studies.sweep import run_sweep

        run_sweep(spec, args)
