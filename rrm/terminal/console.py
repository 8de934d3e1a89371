"""Standard output and error of a command: terminals of any encoding, and pipes whose reader leaves."""

import io
import os
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

# Environment of the processes that a command starts: text is UTF-8, and streams replace what they cannot encode.
CHILDREN = {"PYTHONUTF8": "1", "PYTHONIOENCODING": ":replace"}


def open_closed_streams() -> None:
    """Replace a standard stream that was closed before the start by one that reads or writes nothing.

    Otherwise the next file that the process opens takes the stream's number, and libraries print into that file.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
            os.set_inheritable(number, True)
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8", closefd=False))


def accept_all_text() -> None:
    """Replace characters that standard output or error cannot encode, here and in processes that are started later.

    A Latin-1 terminal has no sigma, and a sweep must not end for the sake of one.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    os.environ |= CHILDREN


@contextmanager
def quiet_without_reader() -> Iterator[None]:
    """A block that ends the process silently, with the exit code of SIGPIPE, once `head` or `less` has gone."""
    try:
        try:
            yield
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()  # at the end of the process Python would complain by itself
    except BrokenPipeError:
        if not _reader_gone():
            raise
        for stream in (sys.stdout, sys.stderr):
            if _closed(stream):
                discard(stream)
        sys.exit(128 + signal.SIGPIPE)


def discard(stream: TextIO | None) -> None:
    """Throw away what the stream still holds and everything that is written to the stream from now on."""
    if stream is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _reader_gone() -> bool:
    """Whether a pipe behind standard output or error has no reader; a broken connection is something else."""
    return _closed(sys.stdout) or _closed(sys.stderr)


def _closed(stream: TextIO | None) -> bool:
    """Whether the other end of a stream is closed; False for no stream, a closed one, or one without a file."""
    if stream is None:
        return False
    try:
        end = select.poll()
        end.register(stream.fileno(), 0)
    except (AttributeError, OSError, ValueError):
        return False
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in end.poll(0))
