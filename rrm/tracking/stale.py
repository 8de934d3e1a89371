"""Runs that stay RUNNING because their driver was killed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rrm.tracking.driver import is_alive
from rrm.tracking.failure import answering
from rrm.tracking.read import open_client

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

PAGE = 1000


@dataclass(frozen=True)
class StaleRun:
    """A run whose status is RUNNING although no process drives it.

    host, pid: of its job's driver; "" and None where the run has no such tags
    last_sign_s: seconds since the driver's last heartbeat
    heartbeat: its value in the store; if it changes, the driver lives
    """

    run_id: str
    name: str
    job: str
    host: str
    pid: int | None
    last_sign_s: float
    heartbeat: str


def stale_runs(uri: str, older_than_s: float = 600) -> list[StaleRun]:
    """The runs of rrm in this store that are RUNNING although their job's driver is dead; the oldest heartbeat first.

    On the driver's own machine the process itself is looked for. Elsewhere a driver counts as dead when its last
    heartbeat is older than `older_than_s`. That compares the clocks of two machines, so `close_stale` looks again for a
    new heartbeat. InputError for a store that does not exist or answer.
    """
    now, found = time.time(), []
    with answering(uri):
        client = open_client(uri)
        drivers = [(job[1], runs, *_driver(client, job, runs)) for job, runs in _running_jobs(client).items()]
    for job, runs, driver, heartbeat in drivers:
        last_sign_s = now - int(heartbeat) / 1000
        alive = is_alive(driver)
        if alive or (alive is None and last_sign_s <= older_than_s):
            continue
        pid = int(driver["rrm.pid"]) if "rrm.pid" in driver else None
        for run in runs:
            name = run.data.tags.get("rrm.name", run.info.run_name)
            sign = (driver.get("rrm.host", ""), pid, last_sign_s, heartbeat)
            found.append(StaleRun(run.info.run_id, name, job, *sign))
    return sorted(found, key=lambda run: -run.last_sign_s)


def close_stale(uri: str, runs: list[StaleRun], status: str = "KILLED") -> None:
    """Close these runs at the time of their last heartbeat, except those with a new heartbeat or status meanwhile."""
    signs: dict[tuple[str, str], tuple[dict[str, str], str]] = {}
    with answering(uri):
        client = open_client(uri)
        for stale in runs:
            run = client.get_run(stale.run_id)
            job = (run.info.experiment_id, stale.job)
            if job not in signs:
                signs[job] = _driver(client, job, [run])
            driver, heartbeat = signs[job]
            if run.info.status == "RUNNING" and heartbeat == stale.heartbeat and not is_alive(driver):
                client.set_tag(stale.run_id, "rrm.closed_as_stale", "true")
                client.set_terminated(stale.run_id, status, int(stale.heartbeat))


def _running_jobs(client: MlflowClient) -> dict[tuple[str, str], list[Run]]:
    """{(experiment, job): its RUNNING runs}."""
    jobs: dict[tuple[str, str], list[Run]] = {}
    for experiment in client.search_experiments():
        token = None
        while True:
            page = client.search_runs(
                [experiment.experiment_id], "attributes.status = 'RUNNING'", max_results=PAGE, page_token=token
            )
            for run in page:
                if job := run.data.tags.get("rrm.job"):
                    jobs.setdefault((experiment.experiment_id, job), []).append(run)
            token = page.token
            if not token:
                break
    return jobs


def _driver(client: MlflowClient, job: tuple[str, str], runs: list[Run]) -> tuple[dict[str, str], str]:
    """(tags that name the driver of a job, its newest heartbeat in ms), from the run with the newest heartbeat.

    The job's own run, which gets the heartbeats, counts in every status.
    """
    parents = client.search_runs([job[0]], f"tags.`rrm.job` = '{job[1]}' and tags.`rrm.name` = '{job[1]}'")
    by_sign = {_sign(run): run.data.tags for run in [*runs, *parents]}
    newest = max(by_sign)
    return by_sign[newest], str(newest)


def _sign(run: Run) -> int:
    """Time of a run's last heartbeat in ms; the start of a run from a version without heartbeats."""
    return max(int(run.data.tags.get("rrm.heartbeat", 0)), run.info.start_time)
