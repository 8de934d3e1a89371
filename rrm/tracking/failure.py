"""The meaning of an error of MLflow: the store is away for now, or it will never accept the operation."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from rrm.doctor import Finding
from rrm.errors import InputError
from rrm.tracking.address import database_file, giver
from rrm.tracking.database import schema
from rrm.tracking.secrets import mask

CREDENTIALS = "it refuses the credentials"
LOCKED = "the database is locked"
KNOWN = {
    "Connection refused": "connection refused",
    "database is locked": LOCKED,
    "timed out": "no answer in time",
    "Remote end closed connection": "it closed the connection",
    "Name or service not known": "its name cannot be resolved",
}


def away_reason(error: Exception, uri: str) -> str | None:
    """Why the store of `uri` cannot take an operation now, without credentials; None where a retry is useless.

    Worth a retry: failed connections, timeouts, answers of 5xx and 429, a locked or missing database, and refused
    credentials (401, 403), because an expired token must not end a job.
    """
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import IntegrityError, SQLAlchemyError

    if isinstance(error, MlflowException):
        status = error.get_http_status_code()
        if status in (401, 403):
            return f"{CREDENTIALS}, status {status}"
        database = isinstance(error.__cause__, SQLAlchemyError) and not isinstance(error.__cause__, IntegrityError)
        return short(error, uri) if status >= 500 or status == 429 or database else None
    if isinstance(error, FileNotFoundError | IsADirectoryError | PermissionError):
        return None
    return short(error, uri) if isinstance(error, OSError | SQLAlchemyError) else None


@contextmanager
def answering(uri: str, always: bool = False) -> Iterator[None]:
    """InputError of one line where, within the block, the store of `uri` is away or refuses the credentials.

    With `always`, every other error of the store becomes an InputError, too.
    """
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except ModuleNotFoundError as error:
        raise InputError(
            f"tracking store {mask(uri)} needs the Python package {error.name}: install it, or name the driver that is "
            "installed, such as postgresql+psycopg2://"
        ) from None
    except (MlflowException, SQLAlchemyError, OSError) as error:
        if finding := schema_of(error, uri):
            raise InputError(f"tracking store: {finding}") from None
        reason = away_reason(error, uri)
        if reason is None and not always:
            raise
        raise InputError(unreachable(reason or short(error, uri), uri)) from None


def schema_of(error: Exception, uri: str) -> Finding | None:
    """The problem with the schema of a database whose version MLflow refuses; None for other errors."""
    version = re.search(r"database schema \(found version (\w+)", str(error))
    return schema(version[1], mask(uri), mask(uri)) if version else None


def unreachable(reason: str, uri: str) -> str:
    """The line for the user: why nothing can be logged or read."""
    if reason.startswith(CREDENTIALS):
        way_out = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
    elif reason == LOCKED:
        way_out = "another program holds it, close that or wait until it has written"
    else:
        way_out = f"{'' if database_file(uri) else 'start it, or '}correct {giver(uri)}"
    return f"tracking store {mask(uri)} does not answer ({reason}): {way_out}"


def short(error: Exception, uri: str) -> str:
    """An error in a few words, without credentials."""
    text = str(error)
    for sign, words in KNOWN.items():
        if sign in text:
            return words
    if found := re.search(r"too many (\d+) error responses", text):
        return f"it answers {found[1]}"
    lines = mask(text, uri).splitlines()
    return lines[0][:200] if lines else type(error).__name__
