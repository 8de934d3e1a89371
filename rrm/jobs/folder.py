"""The folder of a sweep or a study: its lock, the arguments it was started with, and the work already done."""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rrm.doctor.storage import check_folder
from rrm.errors import InputError
from rrm.files import read_object, replacing
from rrm.halves import current_name

TEST_PUZZLES = "test.npz"
OUTCOMES = "outcomes"
SHORTEST = "outcomes-shortest"
ROUNDS = "rounds"


def puzzles_file(key: str | None) -> str:
    """The name of the file of test puzzles of a set, in the folder and among the artifacts: see `DataKeys`."""
    return f"test-{key}.npz" if key else TEST_PUZZLES


class JobFolder:
    """STORAGE/NAME of a job of some `kind`, "sweep" or "study".

    KIND.json      the arguments and data the job was started with; a resumed one must agree
    trials.json    finished trials: first of the search or grid, then the repeated ones
    scores.json    test scores by trial and weights; scoring.json: parts of those under way
    outcomes/      which test puzzles the best weights of each trial solve, a bit a puzzle; of mazes, where they give
                   the label's path, and in outcomes-shortest/ any shortest path
    curves/        the curves of each trial, which grow while it trains (`rrm.curves`)
    rounds/        by trial, the finished attempts of a dream loop that is under way
    recipes/       the recipe of each trial, from the time when the trial was handed out (`rrm.jobs.recipes`)
    tune/          Ray Tune's own files, trial checkpoints among them
    lyapunov/      stability results and their shards
    test.npz       the puzzles they were measured on; of several sets test-KEY.npz
    figures/       PNG files
    """

    def __init__(self, path: Path, kind: str):
        self.path, self.kind = path, kind

    def spectra(self, trial: str) -> Path:
        """The result file of a trial."""
        return self.path / "lyapunov" / f"{trial}.safetensors"

    def check(self, resume: bool) -> None:
        """Refuse an existing job without --resume, and --resume without a job."""
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"{self.path} is a file: choose another --name")
        check_folder(self.path)
        exists = (self.path / f"{self.kind}.json").exists()
        if exists and not resume:
            raise InputError(
                f"{self.path} already holds a {self.kind}: add --resume to carry on with it, or choose another --name"
            )
        begun = self.path.exists()
        if resume and not begun:
            raise InputError(f"{self.path} holds no {self.kind} to resume: leave --resume out to start one")
        # A job that was interrupted before its first file has left only its lock.
        if not exists and begun and any(not file.name.startswith(".") for file in self.path.iterdir()):
            raise InputError(f"{self.path} exists and is not a {self.kind}: choose another --name or --storage")

    @contextmanager
    def claim(self) -> Iterator[None]:
        """Lock the folder against a second driver for the block."""
        self.path.mkdir(parents=True, exist_ok=True)
        with open(self.path / ".lock", "wb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                message = f"{self.path} is in use by another driver: wait for it or choose another --name"
                raise InputError(message) from None
            except OSError as error:
                raise InputError(
                    f"{self.path} cannot be locked ({error.strerror}): mount it with locks, or choose another --storage"
                ) from None
            yield

    def start(self, record: dict) -> None:
        """Write the record of a new job, or check that a resumed one has the same arguments and data."""
        known = self.read(self.kind)
        if known is None:
            self.write(self.kind, record)
            return
        if not isinstance(known.get("arguments"), dict) or "data_hash" not in known:
            raise InputError(f"{self.path} holds no record of a {self.kind}: choose another --name")
        for key, value in record["arguments"].items():
            # An option that is not in the record is newer than the job.
            if (before := _spelled_today(key, known["arguments"].get(key, value))) != value:
                raise InputError(
                    f"the {self.kind} in {self.path} was started with {key} = {before!r:.200}, not {value!r}: "
                    f"give the same arguments to resume it"
                )
        if known["data_hash"] != record["data_hash"]:
            message = f"the puzzles changed since the {self.kind} in {self.path} was started: choose another --name"
            raise InputError(message)

    def known(self) -> dict:
        """The record that `start` has written."""
        return self.read(self.kind) or {}

    def read(self, name: str) -> dict | None:
        """The content of NAME.json; None without the file."""
        return read_json(self.path, name)

    def write(self, name: str, content: dict) -> None:
        """Write NAME.json, whole or not at all."""
        write_json(self.path, name, content)


def _spelled_today(option: str, value: Any) -> Any:
    """An argument of a job that an older rrm may have started: it spelled the halves of the state H and L."""
    if option != "where":
        return value
    return [current_name(half) for half in value] if isinstance(value, list) else current_name(value)


def read_json(folder: Path, name: str) -> dict | None:
    """The content of NAME.json in a folder; None without the file."""
    path = folder / f"{name}.json"
    return read_object(path, "restore it from a copy, or choose another --name") if path.exists() else None


def write_json(folder: Path, name: str, content: dict) -> None:
    """Write NAME.json into a folder, whole or not at all."""
    with replacing(folder / f"{name}.json") as unfinished:
        unfinished.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
