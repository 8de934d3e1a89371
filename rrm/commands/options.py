"""Options that several commands share, and their checks. Light to import."""

import argparse
import os
import stat
from pathlib import Path

from rrm.cluster.address import check_address
from rrm.doctor.storage import check_folder
from rrm.errors import InputError
from rrm.paths import check_home, user_path
from rrm.tracking.address import tracking_uri

# The form of every --help: the docstring of the script as it is, then the options.
RawText = argparse.RawDescriptionHelpFormatter


ADDRESS_HELP = "a Ray cluster to connect to (default: RAY_ADDRESS, else a local one)"


def add_places(parser: argparse.ArgumentParser, address: str = ADDRESS_HELP) -> None:
    """Add the options of the places of a job: storage, store and cluster; `address` is the help of --address."""
    add = parser.add_argument
    add("--storage", type=user_path, default="runs", metavar="DIR", help="folder of sweeps, studies and their MLflow "
        "store (default: ./%(default)s)")  # fmt: skip
    add("--tracking-uri", metavar="URI", help="an MLflow server or store; the path of a sqlite store may not hold ? "
        "or %% (default: MLFLOW_TRACKING_URI, else sqlite in the storage folder)")  # fmt: skip
    add("--address", help=address)


def check_places(args: argparse.Namespace) -> None:
    """InputError where no job can run: without a home, a folder to write into, a known store, or the named cluster."""
    check_home()
    check_storage(args.storage)
    check_folder(Path(args.storage).absolute())
    tracking_uri(args.tracking_uri, Path(args.storage))
    check_address(args.address)


def check_storage(storage: str) -> None:
    """InputError for an address such as s3://...: as a path it would be a folder on each node's own disk."""
    if "://" in storage:
        raise InputError(f"--storage {storage} is not a folder: mount it on all nodes and name the folder")


# Names in the storage folder beside the folders of jobs.
_TAKEN = ("artifacts", "downloads", "puzzles", "mlflow.db")
LONGEST_NAME = 100


def check_name(name: str | None) -> None:
    """InputError for a name that cannot be a folder in the storage folder, or that breaks a query of MLflow."""
    if name is None:
        return
    if name in _TAKEN:
        raise InputError(f"--name {name}: the storage folder keeps other things under that name: choose another")
    if (
        not 1 <= len(name) <= LONGEST_NAME
        or name.startswith(".")
        or not name.isprintable()
        or any(sign in name for sign in "/\\'\"`")
    ):
        raise InputError(
            f"--name {name[:LONGEST_NAME]!r} is no name of a job: use 1 to {LONGEST_NAME} characters, without slashes "
            "and quotes, and no dot in front"
        )


def check_seed(seed: int) -> None:
    """InputError for a seed that the generators of numpy or PyTorch refuse."""
    if not 0 <= seed < 1 << 32:
        raise InputError(f"--seed {seed} is no seed: use a whole number from 0 to {(1 << 32) - 1}")


def check_exists(option: str, path: str, way_out: str) -> None:
    """InputError where a path does not exist, is neither file nor folder, or may not be read by this user."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        raise InputError(f"{option} {path} does not exist: {way_out}") from None
    except OSError as error:
        raise InputError(f"{option} {path} cannot be read ({error.strerror}): {way_out}, or its mode") from None
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise InputError(f"{option} {path} is a pipe or a device, which can be read only once: write it to a file")


def add_study_options(parser: argparse.ArgumentParser, folder: str) -> argparse._MutuallyExclusiveGroup:
    """Add the options of every study of one checkpoint: model, data, resources, places; -> those that name a model."""
    add = parser.add_argument
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--run", metavar="RUN_ID", help="MLflow run of a trial")
    source.add_argument("--checkpoint", type=user_path, metavar="PATH",
                        help="checkpoint folder of rrm, or a public checkpoint file")  # fmt: skip
    add("--config", type=user_path, metavar="FILE", help="configuration of a public checkpoint, JSON or YAML "
        "(default: the one beside it, or its own)")  # fmt: skip
    add("--weights", default="best", metavar="NAME", help="best, final or initial; of a public file with several "
        "sets of weights, the name of one (default: %(default)s, or the averaged ones)")  # fmt: skip
    add("--data", type=user_path, metavar="PATH",
        help="CSV file, .npz puzzle set or npy folder (default: the run's test puzzles)")  # fmt: skip
    add("--count", type=int, metavar="N", help="a seeded sample of N puzzles (default: all)")
    add("--workers", type=int, metavar="N", help="tasks at a time (default: as many as fit)")
    add("--gpus", type=float, default=0, metavar="F",
        help="fraction of a GPU for each task: 0.25 runs four tasks on each (default: CPU)")  # fmt: skip
    add("--name", help=f"folder and MLflow name of this study (default: {folder}-HASH, of the checkpoint)")
    add_places(parser)
    add("--resume", action="store_true", help="carry on with an interrupted study")
    add("--verbose", action="store_true", help="show what Ray prints")
    return source


def check_study_options(args: argparse.Namespace, *at_least_one: str) -> None:
    """InputError for missing files, and for counts below 1: those of every study, and the options `at_least_one`."""
    for option in ("count", "workers", *at_least_one):
        value = getattr(args, option)
        if value is not None and value < 1:
            raise InputError(f"--{option} {value} is too few: use 1 or more")
    check_name(args.name)
    check_seed(args.seed)
    if args.run == "":
        raise InputError("--run is empty: give the id of a run, as the MLflow UI shows it")
    if not 0 <= args.gpus < float("inf"):
        raise InputError(f"--gpus {args.gpus:g} is no share of a GPU: use 0 (CPU) or more")
    for option in ("checkpoint", "data", "config"):
        if value := getattr(args, option):
            check_exists(f"--{option}", value, "correct the path")
    check_places(args)
