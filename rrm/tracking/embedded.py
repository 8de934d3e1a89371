"""A new sqlite store, which is there as a whole or not at all."""

import fcntl
import shutil
import tempfile
from pathlib import Path


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
        unfinished = f".{file.name}.unfinished-"
        for left in file.parent.glob(f"{unfinished}*"):
            shutil.rmtree(left, ignore_errors=True)
        # A folder of its own each time: MLflow keeps what it once opened by name.
        with tempfile.TemporaryDirectory(prefix=unfinished, dir=file.parent) as folder:
            made = Path(folder, file.name)
            SqlAlchemyStore(f"sqlite:///{made}", artifact_root.resolve().as_uri()).engine.dispose()
            made.replace(file)
