"""A second copy of Tune's state of a phase, in one file that is replaced as a whole.

Tune rewrites its own files in place and in the background. A driver that is killed meanwhile, or a full disk, leaves
files that are torn or that belong to different moments, and no trial could be restored from these.
"""

import shutil
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from ray import tune
from ray.train._internal.storage import StorageContext
from ray.tune.experiment import Trial

from rrm.files import replacing

COPY = "state.zip"
# Each start of a driver writes new files, with the time in their names.
STATE = ("experiment_state-*.json", "searcher-state-*.pkl", "search_gen_state-*.json")


class KeepState(tune.Callback):
    """Copies the state whenever Tune has written it, then deletes older checkpoints; OSError where the disk is full.

    Tune itself deletes a checkpoint as soon as there is a newer one. If the driver died before Tune wrote its state,
    the state would name the deleted checkpoint, and the trial could not go on.
    """

    def __init__(self) -> None:
        self._copied: list[int] = []
        self._newest: dict[str, Path] = {}  # of each trial, its last checkpoint when the copy was made

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        self._keep(trials)

    def on_experiment_end(self, trials: list[Trial], **info: Any) -> None:
        self._keep(trials)

    def _keep(self, trials: list[Trial]) -> None:
        if trials and trials[0].storage and self._copy(trials[0].storage):
            # The copied state may lag behind the trials, but not behind the trials at the time of the copy before it:
            # it names no checkpoint older than `_newest`, which was noted then.
            for newest in self._newest.values():
                for older in newest.parent.glob("checkpoint_*"):
                    if older.name < newest.name:
                        shutil.rmtree(older, ignore_errors=True)  # files that are still open are deleted the next time
            self._newest = {trial.trial_id: Path(trial.checkpoint.path) for trial in trials if trial.checkpoint}

    def _copy(self, storage: StorageContext) -> bool:
        # Only the driver writes into this folder, so its files belong to one moment.
        own, folder = Path(storage.experiment_driver_staging_path), Path(storage.experiment_fs_path)
        newest = [max(files) for files in (list(own.glob(pattern)) for pattern in STATE) if files]
        written = [file.stat().st_mtime_ns for file in newest]
        if len(newest) < len(STATE) or written == self._copied:
            return False
        with replacing(folder / COPY) as unfinished:
            with ZipFile(unfinished, "w", strict_timestamps=False) as archive:  # a clock may stand at 1970
                for file in newest:
                    archive.write(file, file.name)
        self._copied = written
        return True


def restore(folder: Path) -> bool:
    """Replace Tune's own files by the copy; False where the copy is missing or damaged, and training begins anew.

    Without a copy Tune's own files do not count: in the first moments of a phase they may be half written.
    """
    try:
        with ZipFile(folder / COPY) as archive:
            for file in (file for pattern in STATE for file in folder.glob(pattern)):
                file.unlink()
            archive.extractall(folder)
    except FileNotFoundError:
        return False
    except BadZipFile as error:
        print(f"{folder / COPY} is damaged ({error}): its trials are trained again")
        return False
    return True
