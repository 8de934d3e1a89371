"""Standard output and error of a command: terminals of any encoding, and pipes whose reader leaves."""

import io
import os
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# For processes that a command starts: text is UTF-8, and what a stream cannot show is replaced there too.
CHILDREN = {"PYTHONUTF8": "1", "PYTHONIOENCODING": ":replace"}


def open_closed_streams() -> None:
    """Let a standard stream that was closed before the start read or write nothing.

    Else the next file that is opened takes its number, and gets what a library prints.
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
    """A block that ends the process with the exit code of SIGPIPE, and no word, once `head` or `less` has gone."""
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


def discard(stream) -> None:
    """What is written to a stream from now on, and what it still holds, goes nowhere."""
    if stream is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _reader_gone() -> bool:
    """Whether a pipe behind standard output or error has no reader; a broken connection is something else."""
    return _closed(sys.stdout) or _closed(sys.stderr)


def _closed(stream) -> bool:
    try:
        end = select.poll()
        end.register(stream.fileno(), 0)
    except (AttributeError, OSError, ValueError):  # no stream, one without a file, or a closed one
        return False
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in end.poll(0))
