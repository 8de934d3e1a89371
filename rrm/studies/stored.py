"""Read sweeps and results back from MLflow, for the analysis scripts."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rrm.dynamics import LyapunovResult, load_result
from rrm.errors import InputError
from rrm.statistics import SweepPoint
from rrm.statistics.sweep import unpack_outcomes
from rrm.tracking.failure import answering
from rrm.tracking.read import find_run, open_client, refuse_moved_artifacts
from rrm.tracking.secrets import mask


def sweep_points(uri: str, run_id: str) -> list[SweepPoint]:
    """The scored trials of the sweep whose parent run is `run_id`; missing tags leave the defaults."""
    parent = find_run(uri, run_id)
    query = f"tags.`mlflow.parentRunId` = '{run_id}'"
    with answering(uri):
        runs = open_client(uri).search_runs([parent.info.experiment_id], query, max_results=5000)
    scored = [run for run in runs if "test/final_exact" in run.data.metrics]
    try:
        outcomes = _outcomes(uri, run_id) if scored else {}
        points = [_point(run.data.tags, run.data.metrics, outcomes) for run in scored]
    except KeyError as error:
        # If a sweep was resumed with another store, the earlier logs of its trials stayed in the first store.
        message = f"a trial of run {run_id} has no {error.args[0]}: give a sweep that {mask(uri)} has whole"
        raise InputError(message) from None
    if not points:
        raise InputError(f"run {run_id} has no scored trials: give the id of a finished sweep's parent run")
    return points


def pooled_points(uri: str, run_ids: Sequence[str]) -> list[SweepPoint]:
    """The points of several sweeps together; InputError where runs of a model type had different test puzzles."""
    points: list[SweepPoint] = []
    puzzles: dict[str, tuple[str, tuple]] = {}
    for run_id in dict.fromkeys(run_ids):
        found, digests = sweep_points(uri, run_id), _test_digests(uri, run_id)
        for model, count in {(point.model, point.n) for point in found}:
            other, known = puzzles.setdefault(model, (run_id, (digests, count)))
            if (digests, count) != known:
                raise InputError(
                    f"runs {other} and {run_id} scored {model} on different test puzzles: "
                    "give runs of sweeps over the same puzzles, or one at a time"
                )
        points += found
    return points


def _test_digests(uri: str, run_id: str) -> list[str]:
    """Digests of the test puzzles of a sweep, as far as they were logged."""
    inputs = find_run(uri, run_id).inputs
    return sorted(
        logged.dataset.digest
        for logged in (inputs.dataset_inputs if inputs else [])
        if any(tag.key == "mlflow.data.context" and tag.value == "test" for tag in logged.tags)
    )


def _outcomes(uri: str, run_id: str) -> dict[str, bytes]:
    """{trial: a bit for each test puzzle, whether it is solved} of a sweep; empty where outcomes were not kept."""
    client, name = open_client(uri), "outcomes"
    with answering(uri), tempfile.TemporaryDirectory() as folder:
        if name not in [file.path for file in client.list_artifacts(run_id)]:
            return {}
        fetched = Path(client.download_artifacts(run_id, name, folder))
        return {file.name: file.read_bytes() for file in fetched.iterdir()}


def _point(tags: dict[str, str], metrics: dict[str, float], outcomes: dict[str, bytes]) -> SweepPoint:
    bits, n = outcomes.get(tags.get("rrm.name", "")), int(tags["rrm.test_puzzles"])
    model, data = tags["rrm.model"], tags.get("rrm.data")
    return SweepPoint(
        model=f"{model} on {data}" if data else model,
        **_arm(tags),
        best=metrics["test/best_exact"],
        final=metrics["test/final_exact"],
        n=n,
        stopped_early=tags["rrm.stopped_early"] == "True",
        validation=metrics["validation/best_exact"],
        seed=int(tags.get("rrm.seed", 0)),
        area=metrics.get("validation/area"),
        call_units=metrics.get("call_units"),
        drawn=tags.get("rrm.drawn") == "True",
        best_at_halting=metrics.get("test/best_exact_at_halting"),
        final_at_halting=metrics.get("test/final_exact_at_halting"),
        finished=None if (finished := metrics.get("train/finished")) is None else int(finished),
        segments_per_puzzle=metrics.get("train/segments_per_puzzle"),
        solved=unpack_outcomes(bits, n) if bits else None,
    )


def _arm(tags: dict[str, str]) -> dict:
    """Name, baseline flag and settings of a run's arm."""
    if "rrm.settings" in tags:
        settings = json.loads(tags["rrm.settings"])
        return {"arm": tags["rrm.arm"], "baseline": tags["rrm.baseline"] == "True", "settings": settings}
    # Runs of older versions have tags of the changes in training; the oldest have tags of the noise alone.
    sigma = float(tags["rrm.sigma"])
    settings = {"kind": tags.get("rrm.kind", "initial_state" if sigma else "none"), "sigma": sigma}
    settings |= {"location": tags.get("rrm.location", "both"), "flossing": tags.get("rrm.flossing", "none")}
    plain = settings["kind"] == settings["flossing"] == "none"
    name = "baseline" if plain else ", ".join(f"{key} {value}" for key, value in settings.items())
    return {"arm": tags.get("rrm.arm", name), "baseline": plain, "settings": settings}


def stability_results(uri: str, run_id: str) -> list[LyapunovResult]:
    """The stability results logged with a run, of a sweep, of a trial or of a stability study."""
    client = open_client(uri)
    run = find_run(uri, run_id)
    names = [file.path for file in client.list_artifacts(run_id, "lyapunov") if file.path.endswith(".safetensors")]
    # A study has one result file, beside its tables.
    names = names or [file.path for file in client.list_artifacts(run_id) if file.path == "result.safetensors"]
    if not names:
        refuse_moved_artifacts(uri, run)
        raise InputError(f"run {run_id} has no stability results: give a sweep, an analysed trial or a study")
    with tempfile.TemporaryDirectory() as folder:
        return [load_result(client.download_artifacts(run_id, name, folder)) for name in sorted(names)]
