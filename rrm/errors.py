"""Input that the user can put right, and how a command says so."""

import argparse
import functools
import os
import sys
from collections.abc import Callable

from rrm.terminal import console


class InputError(ValueError):
    """Bad input: one line that names the value, what is allowed and the way out."""


class OneLineParser(argparse.ArgumentParser):
    """argparse, except that an error is one line without the usage in front of it."""

    def error(self, message: str):
        self.exit(2, f"error: {message} (--help lists the options)\n")


# What an error says when Ray itself is gone, and with it all work in hand. Tune passes on no more than the text.
CLUSTER_LOST = "Ray's processes are gone"


def out_of_space(error: object) -> bool:
    """Whether an error (or its text) says that a disk is full; libraries have classes of their own for it."""
    return any(said in str(error) for said in ("No space left on device", "Disk quota exceeded", "disk is full"))


def _check_working_folder() -> None:
    """InputError where the folder that a shell stands in was removed, which PyTorch ends the process for, or where its
    name is no text in this locale, which no database takes.
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


def exit_on_bad_input(main: Callable) -> Callable:
    """A command's main function that ends with one line on stderr: exit code 2 on InputError, 130 on Ctrl-C.

    What the streams cannot encode is replaced, and 141 is the code where nobody reads the output any more.
    """

    @functools.wraps(main)
    def command(*args, **kwargs):
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
            console.discard(sys.stdout)  # the rest that it holds would not find room either
            print("error: no space left for files or for what is printed: make room there", file=sys.stderr)
            sys.exit(2)

    return command
