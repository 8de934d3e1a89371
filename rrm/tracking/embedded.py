"""Make a new sqlite store, whole or not at all."""

import fcntl
from pathlib import Path


def create_store(file: Path, artifact_root: Path) -> None:
    """Make the store `file` unless it exists; OSError where that is not possible.

    MLflow makes its tables one by one: if the process died meanwhile, no later one could open the database.
    """
    if file.exists():
        return
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    from rrm.files import replacing

    file.parent.mkdir(parents=True, exist_ok=True)
    with open(file.with_name(f".{file.name}.lock"), "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the second of two new drivers waits for the first one's store
        if file.exists():
            return
        with replacing(file) as unfinished:
            # A killed process may have left its unfinished store, an interrupted one the journal of sqlite.
            for left in file.parent.glob(f".{file.name}.unfinished-*"):
                left.unlink()
            SqlAlchemyStore(f"sqlite:///{unfinished}", artifact_root.resolve().as_uri()).engine.dispose()
