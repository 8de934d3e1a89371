"""Paths as people write them on a command line, and the home folder they may start from."""

import getpass
import os
from argparse import ArgumentTypeError
from pathlib import Path

from rrm.errors import InputError


def user_path(text: str) -> str:
    """The type of an option that takes a path: a shell leaves the `~` of --data=~/puzzles.csv to the program."""
    path = os.path.expanduser(text)
    if not path:
        raise ArgumentTypeError("the path is empty: name one, or leave the option out")
    if path.startswith("~"):
        raise ArgumentTypeError(f"{text}: that home folder is not known: write the path in full, or ./{text}")
    try:
        path.encode()
    except UnicodeEncodeError:  # bytes that the locale does not know, which no database takes
        raise ArgumentTypeError(
            f"{ascii(text)} has bytes that are no text here: export LC_ALL=C.UTF-8, or rename it to UTF-8"
        ) from None
    return path


def check_home() -> None:
    """InputError for a user without a home folder, as in a container with `--user`: Ray and MLflow ask for one.

    A user without a name, whom PyTorch's compiler asks for one, gets that of the number.
    """
    try:
        Path.home()
    except RuntimeError:
        raise InputError(
            f"user {os.getuid()} has no home folder here, and Ray and MLflow ask for it: export HOME=FOLDER, one that "
            "this user may write to"
        ) from None
    try:
        getpass.getuser()
    except (KeyError, OSError):  # the second since Python 3.13
        os.environ["USER"] = f"user-{os.getuid()}"
