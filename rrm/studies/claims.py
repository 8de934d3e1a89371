"""The claims of the study as a table: run or find the jobs that they need, judge them, and publish the table."""

import hashlib
import os
from argparse import Namespace
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import rrm
from rrm.cluster.session import ray_session, stop_on_signals
from rrm.errors import InputError
from rrm.jobs.folder import JobFolder
from rrm.reports.claims.claim import Claim
from rrm.reports.claims.evidence import Evidence, join
from rrm.reports.claims.registry import CLAIMS
from rrm.reports.claims.table import CSV, MARKDOWN, Effects, Row, csv_rows, effects, report, rows
from rrm.studies.claim_jobs import HASH, Context, Job, claim_jobs, digest
from rrm.studies.claim_specs import EXPERIMENT
from rrm.studies.publish import publish
from rrm.terminal.progress import duration
from rrm.terminal.table import markdown_table, write_csv
from rrm.tracking import Tracker, announce, check_store, git_commit, tracking_uri
from rrm.tracking.reader import Run

FINISHED = "FINISHED"
# Files of the folder: effects of claims, and the settings that jobs were begun with.
EFFECTS, BEGUN = "effects", "jobs"
# The code that effects depend on beside the runs.
_CODE = ("statistics", "reports", "dynamics")


def run_study(args: Namespace, jobs: Sequence[Job] | None = None, claims: Sequence[Claim] = CLAIMS) -> None:
    """Run or find the jobs, judge the claims and publish their table; InputError before anything starts.

    A job that is finished with the same settings and data is found and not run again. `jobs`: those of the preset
    unless given.
    """
    stop_on_signals()
    storage = Path(args.storage).resolve()
    uri = tracking_uri(args.tracking_uri, storage)
    announce(uri)
    check_store(uri, EXPERIMENT, storage / "artifacts")
    context, jobs = Context(args, uri), claim_jobs(args) if jobs is None else jobs
    folder = JobFolder(storage / args.name, "study")
    tracker = Tracker(uri, EXPERIMENT, args.name, storage / "artifacts", kind=EXPERIMENT)
    to_run = _plan(jobs, context, folder)
    tracker.connect()
    with folder.claim(), tracker:
        folder.start(
            {
                "arguments": {"preset": args.preset, "seed": args.seed},
                "data_hash": "none",
                "kind": EXPERIMENT,
                "git_commit": git_commit(Path(__file__).parent),
            }
        )
        _run_all(to_run, context, folder)
        found = join([job.read(context, context.done[job.name]) for job in jobs])
        judged = rows(claims, found, _Kept(folder, found.runs))
        _publish(judged, folder, tracker, context)


def find(job: Job, context: Context) -> Run | None:
    """The run of a job that is finished with the present settings and data; None where there is no such run.

    Raises:
        InputError: the job was made with other settings, or its folder is gone.
    """
    settings, head = job.settings(context), context.head(job.name)
    if settings is None or head is None or head.status != FINISHED or HASH not in head.tags:
        return None
    path = context.storage / job.name
    if head.tags[HASH] != digest(settings):
        raise InputError(f"{path} was made with other settings or puzzles than it would be now: choose another --name")
    if not path.is_dir():
        raise InputError(f"{path}, the folder of run {head.id}, is gone: restore it, or choose another --name")
    return head


def _plan(jobs: Sequence[Job], context: Context, folder: JobFolder) -> list[Job]:
    """The jobs that are not finished; says what is found, and how long the others are expected to take."""
    to_run = []
    for job in jobs:
        if found := find(job, context):
            context.done[job.name] = found
            print(f"found     {job.name}: run {found.id}")
            continue
        if _begun(job, context) and not context.args.resume:
            raise InputError(
                f"{context.storage / job.name} is not finished: add --resume to carry on with it, or choose another "
                "--name"
            )
        _check_unchanged(job, context, folder)
        to_run.append(job)
    if to_run:
        cores = os.cpu_count() or 1
        listed = ", ".join(f"{job.name} {duration(job.seconds / cores)}" for job in to_run)
        whole = duration(sum(job.seconds for job in to_run) / cores)
        print(f"to run    {listed}")
        print(f"expected  {whole} in all on {cores} cores of this machine, less on a cluster")
    return to_run


def _check_unchanged(job: Job, context: Context, folder: JobFolder) -> None:
    """InputError where an unfinished job was begun with other settings, or with settings that nobody knows."""
    settings = job.settings(context)
    if settings is None or not _begun(job, context):
        return
    if (folder.read(BEGUN) or {}).get(job.name) != digest(settings):
        raise InputError(
            f"{context.storage / job.name} was begun with other settings or puzzles than it would be now: choose "
            "another --name"
        )


def _run_all(to_run: Sequence[Job], context: Context, folder: JobFolder) -> None:
    """Run what is not finished, one job after the other on one cluster."""
    args = context.args
    with ExitStack() as stack:
        if to_run:
            stack.enter_context(ray_session(args.address, 1, args.verbose))
        for number, job in enumerate(to_run, 1):
            print(f"\njob       {number} of {len(to_run)}: {job.name}", flush=True)
            _check_unchanged(job, context, folder)
            settings = job.settings(context)
            assert settings is not None
            folder.write(BEGUN, (folder.read(BEGUN) or {}) | {job.name: digest(settings)})
            job.run(context, resume=_begun(job, context))
            context.done[job.name] = _mark(job, context)


def _begun(job: Job, context: Context) -> bool:
    return (context.storage / job.name / f"{job.kind}.json").exists()


def _mark(job: Job, context: Context) -> Run:
    """Tag the run of a finished job with its settings, by which it is found; -> the run."""
    run, settings = context.head(job.name), job.settings(context)
    assert run is not None and settings is not None
    with Tracker(context.uri, job.experiment, job.name, context.storage / "artifacts", kind=job.kind) as tracker:
        tracker.tags(run.id, {HASH: digest(settings)})
    return run


class _Kept:
    """The effects of claims, kept in the folder and computed again where runs or code have changed."""

    def __init__(self, folder: JobFolder, runs: Mapping[str, Sequence[str]]):
        self.folder, self.runs, self.code = folder, runs, _fingerprint()

    def __call__(self, claim: Claim, found: Evidence) -> Effects:
        known = self.folder.read(EFFECTS) or {}
        key = digest({"code": self.code, "runs": list(self.runs.get(claim.evidence, ()))})
        if known.get(claim.name, {}).get("key") != key:
            print(f"measuring {claim.name}", flush=True)
            own, control = effects(claim, found)
            known[claim.name] = {"key": key, "own": _plain(own), "control": _plain(control)}
            self.folder.write(EFFECTS, known)
        kept = known[claim.name]
        own, control = ({int(seed): value for seed, value in kept[name].items()} for name in ("own", "control"))
        return own, control


def _plain(values: Mapping[int, float]) -> dict[str, float]:
    return {str(seed): float(value) for seed, value in values.items()}


def _fingerprint() -> str:
    """sha256 of the code that effects are computed by."""
    root = Path(rrm.__file__).parent
    files = sorted(file for name in _CODE for file in (root / name).rglob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _publish(judged: Sequence[Row], folder: JobFolder, tracker: Tracker, context: Context) -> None:
    """Write, print and log the table. A table that has changed gets a run of its own."""
    cells = csv_rows(judged)
    write_csv(cells, folder.path / CSV)
    (folder.path / MARKDOWN).write_text(markdown_table(cells) + "\n", encoding="utf-8")
    said = report(judged)
    jobs = {f"runs.{name}": run.id for name, run in context.done.items()}
    name = f"{context.args.name}-{digest({'rows': cells})[:8]}"
    run = tracker.run("study", name, {"preset": context.args.preset, **jobs})
    tracker.reopen(run)
    said.places.append(f"table     {folder.path / CSV}, {MARKDOWN}")
    publish(said, folder, tracker, run)
    tracker.finish(run, FINISHED)
    print(f"RUN_ID    {run} of the table")
