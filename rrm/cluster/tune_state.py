"""A second copy of Tune's state of a phase, in one file that is replaced as a whole.

Tune rewrites its own files in place and in the background: a driver that is killed meanwhile, or a full disk, leaves
them cut short or of different moments, and no trial could be restored from them.
"""

from pathlib import Path
from zipfile import BadZipFile, ZipFile

from ray import tune

COPY = "state.zip"
# Each session of a driver writes its own, with the time in the name.
STATE = ("experiment_state-*.json", "searcher-state-*.pkl", "search_gen_state-*.json")


class KeepState(tune.Callback):
    """Copies the state whenever Tune has written it; OSError where the disk is full."""

    def __init__(self):
        self._copied = None

    def on_step_end(self, iteration, trials, **info):
        if trials:
            self._keep(trials[0].storage)

    def on_experiment_end(self, trials, **info):
        if trials:
            self._keep(trials[0].storage)

    def _keep(self, storage) -> None:
        # The driver's own folder, which nothing else writes: its files belong together.
        own, folder = Path(storage.experiment_driver_staging_path), Path(storage.experiment_fs_path)
        newest = [max(own.glob(pattern), default=None) for pattern in STATE]
        if None in newest or (written := [file.stat().st_mtime_ns for file in newest]) == self._copied:
            return
        unfinished = folder / f".{COPY}"
        with ZipFile(unfinished, "w") as archive:
            for file in newest:
                archive.write(file, file.name)
        unfinished.replace(folder / COPY)
        self._copied = written


def restore(folder: Path) -> bool:
    """Put the copy in the place of Tune's own files; False where there is nothing to carry on with."""
    try:
        with ZipFile(folder / COPY) as archive:
            for file in (file for pattern in STATE for file in folder.glob(pattern)):
                file.unlink()
            archive.extractall(folder)
    except FileNotFoundError:  # killed before the first copy
        return any(folder.glob(STATE[0]))
    except BadZipFile as error:
        print(f"{folder / COPY} is damaged ({error}): its trials are trained again")
        return False
    return True
