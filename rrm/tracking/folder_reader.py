"""Groups and runs of the job folders below a storage folder, also of jobs that run."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from rrm.curves import FOLDER, Curves, curve_path, read_curves
from rrm.errors import InputError
from rrm.files import read_object
from rrm.tracking.reader import Group, Reader, Run, flatten

RECIPES = "recipes"  # the folder of the recipes of the trials, in a job folder
RECORDS = ("sweep.json", "study.json")  # the record of the start of a job
REMEDY = "restore it from a copy"


class FolderReader(Reader):
    """Reads STORAGE/JOB of every job.

    The id of a job's own run is JOB, that of a child JOB/NAME. A child is whatever has a curve file or a recipe. The
    tags are those of its arm; other tags, the metrics and the status are in the store alone.
    """

    def __init__(self, storage: Path):
        self.storage = storage

    def groups(self) -> list[Group]:
        """All jobs, the newest first."""
        if not self.storage.is_dir():
            raise InputError(f"{self.storage} is no folder: give the storage folder of the jobs")
        heads = [self._head(folder) for folder in sorted(self.storage.iterdir()) if _is_job(folder)]
        groups = [Group("", run.group, run.kind, run.id, "", run.started, None) for run in heads]
        return sorted(groups, key=lambda group: -(group.started or 0))

    def runs(self, group: Group) -> list[Run]:
        """The runs of a job by name, its own run first."""
        folder = self._folder(group.name)
        head = self._head(folder)
        files = [*(folder / FOLDER).glob("*.jsonl"), *(folder / RECIPES).glob("*.json")]
        return [head, *(self._child(folder, head, name) for name in sorted({file.stem for file in files}))]

    def run(self, run_id: str) -> Run:
        """The run of this id; InputError where there is none."""
        job = run_id.partition("/")[0]
        known = {run.id: run for run in self.runs(Group("", job, "", job, "", None, None))}
        if run_id not in known:
            raise InputError(f"run {run_id} is not in {self.storage}: the job has {', '.join(known)}")
        return known[run_id]

    def history(self, run: Run, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Steps int64 [n] and values float64 [n] of a series, n = 0 where the run has none."""
        return self.curves(run).get(name, (np.array([], np.int64), np.array([], np.float64)))

    def curves(self, run: Run) -> Curves:
        """The series of a run's curve file so far; empty where there is no such file yet."""
        path = curve_path(self._folder(run.group), run.name)
        return read_curves(path) if path.is_file() else {}

    def files(self, run: Run) -> list[str]:
        """Files in the folder of a job and in the folders right under it; for a child the files with its name."""
        folder = self._folder(run.group)
        found = [file for pattern in ("*", "*/*") for file in folder.glob(pattern) if file.is_file()]
        names = [file.relative_to(folder) for file in found if run.parent is None or file.stem == run.name]
        return sorted(name.as_posix() for name in names if not any(part.startswith(".") for part in name.parts))

    def file(self, run: Run, name: str) -> Path:
        """The file itself; InputError where the run has no such file."""
        if name not in self.files(run):
            raise InputError(f"run {run.id} has no file {name}: it has {', '.join(self.files(run))}")
        return self._folder(run.group) / name

    def _folder(self, job: str) -> Path:
        folder = self.storage / job
        if Path(job).name != job or not _is_job(folder):
            raise InputError(f"{self.storage} has no job {job!r}: read its groups again")
        return folder

    def _head(self, folder: Path) -> Run:
        record = next((folder / name for name in RECORDS if (folder / name).is_file()), None)
        known = read_object(record, REMEDY) if record else {}
        role, started = record.stem if record else "", (record or folder).stat().st_mtime
        params = known.get("settings") or known.get("arguments")
        flat = _texts(params if isinstance(params, dict) else {})
        kind = str(known.get("kind", role))
        return Run(folder.name, folder.name, kind, role, folder.name, None, "", started, None, flat, {}, {})

    def _child(self, folder: Path, head: Run, name: str) -> Run:
        recipe = folder / RECIPES / f"{name}.json"
        known = read_object(recipe, REMEDY) if recipe.is_file() else {}
        config, arm = ({} if not isinstance(known.get(part), dict) else known[part] for part in ("config", "arm"))
        # As the run of the trial has them in the store.
        params = _texts(config | {"recipe": known.get("recipe", {})})
        tags = {
            f"rrm.{key}": json.dumps(value) if isinstance(value, dict) else str(value) for key, value in arm.items()
        }
        started = (recipe if recipe.is_file() else curve_path(folder, name)).stat().st_mtime
        identity = (f"{head.id}/{name}", head.group, head.kind, "trial", name, head.id)
        return Run(*identity, "", started, None, params, tags, {})


def _is_job(folder: Path) -> bool:
    return any((folder / name).is_file() for name in RECORDS) or (folder / FOLDER).is_dir()


def _texts(nested: dict[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in flatten(nested)}
