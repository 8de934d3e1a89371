"""The MLflow store that a command uses: --tracking-uri, else MLFLOW_TRACKING_URI, else sqlite in its storage folder."""

import os
from pathlib import Path
from urllib.parse import urlsplit

from rrm.errors import InputError
from rrm.paths import check_home
from rrm.tracking.secrets import mask

VARIABLE = "MLFLOW_TRACKING_URI"
OPTION = "--tracking-uri"
SCHEMES = ("sqlite", "http", "https", "postgresql", "mysql", "mssql")
# Characters with a meaning in an address. SQLAlchemy gives them that meaning in the path of a file, too.
SIGNS = "?%"


def tracking_uri(option: str | None, storage: Path) -> str:
    """The store to open, with credentials; InputError for an unknown kind of store, or without a home for MLflow."""
    check_home()
    given = option or os.environ.get(VARIABLE)
    return checked_uri(given) if given else checked_uri(default_uri(storage), f"--storage {storage}")


def default_uri(storage: Path) -> str:
    """The address of an sqlite store in the storage folder."""
    return f"sqlite:///{Path(os.path.realpath(storage), 'mlflow.db')}"


def checked_uri(uri: str, named: str = "") -> str:
    """The address by which a store is opened, from the user's `named`; InputError for an unknown kind of store."""
    named = named or f"{giver(uri)} {mask(uri)}"
    kind = uri.partition(":")[0].partition("+")[0]
    try:
        parts = urlsplit(uri)
    except ValueError:  # a broken host
        parts = None
    # A database may be reached without a host, a server may not.
    known = parts and kind in SCHEMES and (parts.netloc or not kind.startswith("http"))
    path = uri.partition(":///")[2] if kind == "sqlite" else None
    if not known or path in ("", ":memory:"):
        otherwise = f", or unset {VARIABLE} to use sqlite in the storage folder" * (giver(uri) == VARIABLE)
        raise InputError(f"{named} is of no known kind: use sqlite:///FILE or http://SERVER{otherwise}")
    if path is None:
        return uri
    if found := [sign for sign in SIGNS if sign in path]:
        raise InputError(
            f"{named} has {' and '.join(found)} in its path, where SQLAlchemy takes it for a sign of an address: "
            f"name another folder, or an MLflow server by {OPTION}"
        )
    # Trials run in other folders, where a relative path would be another database.
    return f"sqlite:///{os.path.realpath(Path(path).expanduser())}"


def database_file(uri: str) -> Path | None:
    """The file of a sqlite store; None for other stores."""
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def giver(uri: str) -> str:
    """The name of the environment variable where it gave this store, else that of the option."""
    given = os.environ.get(VARIABLE, "")
    files = [file and os.path.realpath(file.expanduser()) for file in map(database_file, (given, uri))]
    agree = files[0] == files[1] if all(files) else given == uri
    return VARIABLE if given and agree else OPTION


def announce(uri: str) -> None:
    """Print the store, and the environment variable where that chose it."""
    print(f"tracking  {mask(uri)}" + f", of {VARIABLE}" * (giver(uri) == VARIABLE))
