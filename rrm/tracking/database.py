"""Checks of the file of a sqlite store before MLflow opens it: MLflow would retry for minutes, and say less."""

import functools
import os
import shlex
import sqlite3
from contextlib import closing
from pathlib import Path

from rrm.doctor import Finding, fail
from rrm.doctor.processes import PROC, own_processes
from rrm.errors import InputError
from rrm.tracking.address import database_file

PATIENCE_S = 10.0  # a driver or a server that only writes ends sooner
NO_RUN = "no run can be logged or read"


def check_database(uri: str, writes: bool) -> None:
    """InputError, in the words of the doctor, for an unusable sqlite store; other stores are not checked."""
    if (path := database_file(uri)) and path.exists():
        _check(path, uri, writes)


@functools.cache
def _check(path: Path, uri: str, writes: bool) -> None:
    if finding := trouble(path, uri, writes):
        raise InputError(f"tracking store: {finding}")


def restoring(path: Path) -> str:
    """The way out for a damaged database."""
    save = shlex.join(["sqlite3", str(path), ".recover"])
    return f"restore {path.name} from a copy, save what is left with `{save}`, or move it away"


def trouble(path: Path, uri: str, writes: bool = True) -> Finding | None:
    """Why MLflow cannot read or write the database `path`; None where it can.

    The check does not read the whole file, so its time does not depend on the size.
    """
    if not path.is_file():
        return fail(f"{path} is not a file", NO_RUN, "move it away, or name another store by --tracking-uri")
    if not path.stat().st_size:
        return None  # MLflow makes the tables
    for place in (path, path.parent):  # sqlite keeps its journal in the folder
        if writes and not os.access(place, os.W_OK):
            return fail(
                f"{place} cannot be written to by this user",
                f"no run can be logged in {path}",
                f"correct its owner and mode ({shlex.join(['ls', '-ld', str(place)])}), or name another store by "
                "--tracking-uri",
            )
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=PATIENCE_S)) as connection:
            connection.execute("begin immediate" if writes else "begin")
            versions = connection.execute("select version_num from alembic_version").fetchall()
            connection.rollback()
    except sqlite3.OperationalError as error:
        return _refused(path, error)
    except sqlite3.DatabaseError as error:
        return fail(f"{path} is damaged ({error})", NO_RUN, restoring(path))
    return schema(versions[0][0], path, uri) if len(versions) == 1 else _no_schema(path)


def _refused(path: Path, error: sqlite3.OperationalError) -> Finding:
    if "no such table" in str(error):
        return _no_schema(path)
    if "locked" in str(error):
        who = holders(path)
        return fail(
            f"{path} is locked",
            f"another program holds it{': ' * bool(who)}{', '.join(who)}",
            "close that program, or wait until it has written, and start again",
        )
    return fail(f"{path} cannot be read ({error})", NO_RUN, restoring(path))


def holders(path: Path) -> list[str]:
    """Other processes of this user that hold a file open, as "NAME (process PID)"."""
    found, target = [], os.path.realpath(path)
    for process in own_processes().values():
        try:
            names = {os.readlink(link) for link in (PROC / str(process.pid) / "fd").iterdir()}
        except OSError:  # the process ended meanwhile
            continue
        if target in names and process.pid != os.getpid():
            found.append(f"{process.name} (process {process.pid})")
    return found


def _no_schema(path: Path) -> Finding:
    return fail(
        f"{path} has no schema of MLflow",
        "it is another program's, or was left half made by two drivers that started at once",
        "move it away, and start one driver first",
    )


def schema(version: str, place: Path | str, uri: str) -> Finding | None:
    """The problem with the version of a database's schema; None for the version of the installed MLflow.

    place: the name of the database in messages.  uri: its address for `mlflow db upgrade`.
    """
    import mlflow
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    scripts = ScriptDirectory(str(Path(mlflow.__file__).parent / "store" / "db_migrations"))
    if version in scripts.get_heads():
        return None
    try:
        scripts.get_revision(version)
    except CommandError:
        return fail(
            f"the schema {version} of {place} is unknown to MLflow {mlflow.__version__}",
            "a newer MLflow has written it, and this one refuses to open it",
            "pip install --upgrade mlflow, to the version that wrote it, or name another store by --tracking-uri",
        )
    copy = f"{shlex.join(['cp', str(place), f'{place}.bak'])} && " if isinstance(place, Path) else "copy it, then "
    return fail(
        f"the schema {version} of {place} is older than that of MLflow {mlflow.__version__}",
        "this MLflow refuses to open it",
        f"{copy}mlflow db upgrade {shlex.quote(uri)}",
    )
