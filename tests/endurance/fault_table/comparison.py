"""A job that something happened to, compared with one that nothing happened to."""

import json
import re
import sqlite3
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

from tests.endurance.fault_table.row import Row

# Metrics that differ from run to run.
CLOCKS = re.compile(r"^time/|seconds|_s$")
WORK = {"s": "steps", "t": "scores", "m": "shards", "g": "shards", "a": "attempts"}  # letters of sitecustomize.py


def jobs_of(storage: Path) -> dict[str, tuple[str, dict]]:
    """{name of the run: (status, {metric: [(step, value), ...]})} of an MLflow store, clocks left out."""
    with sqlite3.connect(f"file:{storage / 'mlflow.db'}?mode=ro", uri=True, timeout=30) as store:
        query = "select r.run_uuid, t.value, r.status from runs r join tags t using (run_uuid) where t.key = 'rrm.name'"
        runs = store.execute(query).fetchall()
        found = {}
        for identity, name, status in runs:
            query = "select key, step, value from metrics where run_uuid = ? order by key, step"
            points: dict = {}
            for key, step, value in store.execute(query, (identity,)):
                if not CLOCKS.search(key):
                    points.setdefault(key, []).append((step, value))
            if name in found:
                name += " (twice)"
            found[name] = (status, points)
    return found


@cache
def jobs_of_unbroken(storage: Path) -> dict[str, tuple[str, dict]]:
    """`jobs_of` an unbroken job, read once: nothing changes it."""
    return jobs_of(storage)


def records(folder: Path) -> dict:
    """Trials and scores of a sweep, without clocks and places."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items() if k not in ("seconds", "checkpoint")}
        return [plain(item) for item in value] if isinstance(value, list) else value

    return {name: plain(json.loads((folder / f"{name}.json").read_text())) for name in ("trials", "scores")}


def results(folder: Path) -> dict[str, bytes]:
    """The bytes of the result files of a sweep or study, without the names of its run and store."""
    found = {}
    for path in sorted([*folder.glob("lyapunov/*.safetensors"), *folder.glob("*.safetensors")]):
        content = path.read_bytes()
        size = 8 + int.from_bytes(content[:8], "little")
        header = json.loads(content[8:size])
        described = json.loads(header["__metadata__"]["rrm"])
        for name in ("sweep_run", "tracking_uri"):
            described["provenance"].pop(name, None)
        header["__metadata__"] = described
        found[path.name] = json.dumps(header, sort_keys=True).encode() + content[size:]
    return found


def compare(row: Row, whole: Path) -> None:
    """Compare the row's job with the unbroken one in the storage folder `whole`, and note every difference."""
    mine, other = row.runs / "job", whole / "job"
    if (other / "trials.json").exists():
        row.want((mine / "trials.json").exists() and records(mine) == records(other), "other trials or scores")
    row.want(results(mine) == results(other), "other result files")
    drawn = {path.name for path in (other / "figures").iterdir()}
    row.want({path.name for path in (mine / "figures").iterdir()} == drawn, "other figures")
    runs, unbroken = jobs_of(row.runs), jobs_of_unbroken(whole)
    row.want(runs.keys() == unbroken.keys(), f"runs {sorted(runs)}, not {sorted(unbroken)}")
    for run in runs.keys() & unbroken.keys():
        row.want(runs[run][0] == unbroken[run][0], f"{run} is {runs[run][0]}")
        for metric in runs[run][1].keys() | unbroken[run][1].keys():
            points = [found[run][1].get(metric, []) for found in (runs, unbroken)]
            row.want(points[0] == points[1], f"{run}: {metric} has points {points[0]}, not {points[1]}"[:200])


def lost_work(row: Row, whole: Counter) -> str:
    """The work that was done more often than in an unbroken run, in words."""
    more: dict[str, int] = {}
    counted = row.count()
    for letter, name in WORK.items():
        more[name] = more.get(name, 0) + counted[letter] - whole[letter]
    row.want(min(more.values()) >= 0, f"less work than in an unbroken run: {more}")
    return ", ".join(f"{number} {name}" for name, number in more.items() if number) or "nothing"


def compare_weights(row: Row, whole: Path) -> None:
    """Compare weights and optimizer of the first trial with those of the unbroken run, to float32 rounding."""
    import torch

    from rrm.training.checkpoint import load_tensors

    def weights(job: Path, name: str) -> dict[str, torch.Tensor]:
        first = json.loads((job / "trials.json").read_text())["searched"][0]
        return load_tensors(job / first["checkpoint"] / f"{name}.safetensors")

    for name in ("final", "training"):
        mine, other = (weights(storage / "job", name) for storage in (row.runs, whole))
        most = max(float((mine[key].double() - other[key].double()).abs().max()) for key in other)
        same = all(torch.equal(mine[key], other[key]) for key in other)
        row.want(most < 1e-6, f"{name} weights differ by {most:.1e}")
        row.sees += f", {name} weights {'the same' if same else f'to {most:.1e}'}"
