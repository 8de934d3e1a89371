"""A new sqlite store, which is there as a whole or not at all."""

import fcntl
from pathlib import Path

from rrm.files import replacing


def create_store(file: Path, artifact_root: Path) -> None:
    """Make the store `file`, unless there is one; OSError where that is not possible.

    MLflow makes its tables one by one: had a process died meanwhile, no later one could open the database.
    """
    if file.exists():
        return
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    file.parent.mkdir(parents=True, exist_ok=True)
    with open(file.with_name(f".{file.name}.lock"), "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of two drivers that begin, one waits for the other's
        if file.exists():
            return
        with replacing(file) as unfinished:
            # A process that was killed has left its own, an interrupted one sqlite's journal.
            for left in file.parent.glob(f".{file.name}.unfinished-*"):
                left.unlink()
            SqlAlchemyStore(f"sqlite:///{unfinished}", artifact_root.resolve().as_uri()).engine.dispose()
