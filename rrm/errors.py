"""Errors that the user can put right, and how a command prints them."""

import argparse
import functools
import os
import sys
from collections.abc import Callable
from typing import NoReturn, ParamSpec, TypeVar

from rrm.terminal import console

P = ParamSpec("P")
T = TypeVar("T")


class InputError(ValueError):
    """Bad input: one line with the value, the allowed values and the way out."""


class OneLineParser(argparse.ArgumentParser):
    """argparse, except that an error is one line without the usage in front of it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message} (--help lists the options)\n")


# The text of the error for a Ray whose processes died, and all its work with them. Tune passes on the text alone.
CLUSTER_LOST = "Ray's processes are gone"


def out_of_space(error: object) -> bool:
    """Whether an error (or its text) says that a disk is full; libraries have classes of their own for it."""
    return any(said in str(error) for said in ("No space left on device", "Disk quota exceeded", "disk is full"))


def _check_working_folder() -> None:
    """InputError where the working folder was removed or where its name is no text in this locale.

    PyTorch ends the process in a removed folder, and no database takes a name that is no text.
    """
    try:
        os.getcwd().encode()
    except UnicodeEncodeError:
        raise InputError(
            f"the working folder {ascii(os.getcwd())} has bytes that are no text here: export LC_ALL=C.UTF-8, or "
            "rename it to UTF-8"
        ) from None
    except FileNotFoundError:
        raise InputError("the working folder was removed: cd to another one and start again") from None


def exit_on_bad_input(main: Callable[P, T]) -> Callable[P, T]:
    """Wrap a command's main function: bad input ends the command with one line on stderr and exit code 2.

    Ctrl-C gives exit code 130, a reader that closed the pipe 141. A full disk gives exit code 2. Streams replace
    characters that they cannot encode.
    """

    @functools.wraps(main)
    def command(*args: P.args, **kwargs: P.kwargs) -> T:
        console.open_closed_streams()
        console.accept_all_text()
        try:
            with console.quiet_without_reader():
                try:
                    _check_working_folder()
                    return main(*args, **kwargs)
                except InputError as error:
                    print(f"error: {error}", file=sys.stderr)
                    sys.exit(2)
                except KeyboardInterrupt:
                    print("\ninterrupted", file=sys.stderr)
                    sys.exit(130)
        except OSError as error:
            if not out_of_space(error):
                raise
            console.discard(sys.stdout)  # the buffered rest would not find room either
            print("error: no space left for files or for what is printed: make room there", file=sys.stderr)
            sys.exit(2)

    return command
