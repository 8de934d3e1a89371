"""What an error of MLflow means: a server that is away for now, or an operation that will never be accepted."""

from rrm.tracking.secrets import mask

CREDENTIALS = "it refuses the credentials"
KNOWN = {
    "Connection refused": "connection refused",
    "database is locked": "the database is locked",
    "timed out": "no answer in time",
    "Remote end closed connection": "it closed the connection",
    "Name or service not known": "its name cannot be resolved",
}


def away_reason(error: Exception, uri: str) -> str | None:
    """Why the store of `uri` cannot take an operation now, without credentials; None where trying again is no use.

    Connections that fail, timeouts, answers of 5xx and 429, and a database that is locked or gone pass. So do refused
    credentials (401, 403): a token that has expired must not end a job.
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


def short(error: Exception, uri: str) -> str:
    """An error in a few words, without credentials."""
    text = str(error)
    for sign, words in KNOWN.items():
        if sign in text:
            return words
    lines = mask(text, uri).splitlines()
    return lines[0][:200] if lines else type(error).__name__
