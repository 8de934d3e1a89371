"""Run a job that can be resumed, as a command."""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from rrm.errors import CLUSTER_LOST, InputError, exit_on_bad_input, out_of_space


@contextmanager
def resumable(args: argparse.Namespace) -> Iterator[None]:
    """Within the block a job runs: Ctrl-C ends it with exit code 130, a full disk with an InputError."""
    try:
        yield
    except KeyboardInterrupt:
        begun = args.resume or args.name and Path(args.storage, args.name).exists()
        way_out = ": the same command with --resume carries on" if begun else " before it began"
        print(f"\ninterrupted{way_out}", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        if CLUSTER_LOST in str(error):
            sys.exit(f"error: {CLUSTER_LOST}: the same command with --resume carries on")
        if not out_of_space(error):
            raise
        raise InputError(
            f"no space left for --storage {args.storage} or in {tempfile.gettempdir()}: make room, then the same "
            "command with --resume carries on"
        ) from None


@exit_on_bad_input
def run_study_command(
    parse: Callable[[list[str] | None], argparse.Namespace], module: str, argv: list[str] | None
) -> None:
    """Run `run_study` of a module of rrm.studies as a command, with the exit codes of `rrm.commands.sweep`."""
    args = parse(argv)
    with resumable(args):
        import_module(f"rrm.studies.{module}").run_study(args)
