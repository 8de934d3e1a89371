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
    """InputError for a user without a home folder or a name, as in a container with `--user`: Ray and MLflow ask."""
    try:
        Path.home()
        getpass.getuser()
    except (RuntimeError, KeyError, OSError, ImportError):
        wanted = {"HOME": "FOLDER", "USER": "NAME"}
        missing = [f"{name}={value}" for name, value in wanted.items() if name not in os.environ]
        raise InputError(
            f"user {os.getuid()} has no home folder or no name on this machine, and Ray and MLflow ask for both: "
            f"export {' '.join(missing)}, a folder that this user may write to"
        ) from None
