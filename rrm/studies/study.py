"""The frame of every study of one checkpoint: sources, folder, MLflow run, cluster, and the clock."""

import time
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rrm.cluster.capacity import Request, trials_at_once
from rrm.cluster.session import ray_session, stop_on_signals
from rrm.errors import InputError
from rrm.jobs.folder import JobFolder
from rrm.reports.report import Report
from rrm.studies import sources
from rrm.studies.publish import publish
from rrm.tasks import PuzzleSet
from rrm.terminal.progress import Bar
from rrm.tracking import Tracker, announce, check_store, git_commit, tracking_uri
from rrm.training.checkpoint import MOST_SEGMENTS

# Options that may differ between a study and its resumption.
FREE = ("resume", "verbose", "storage", "name", "address", "tracking_uri", "workers", "gpus")


@dataclass
class Frame:
    """A study that may start: its checkpoint and data exist and fit each other.

    work_s: seconds that tasks have worked so far.
    """

    args: Namespace
    source: sources.Source
    puzzles: PuzzleSet
    folder: JobFolder
    tracker: Tracker
    request: Request
    work_s: float = 0.0

    def bar(self, title: str, total: int) -> Callable[[int, float], None]:
        """A bar, advanced by finished rows and the seconds of work that they took."""
        shown = Bar(title, total)

        def progress(rows: int, seconds: float) -> None:
            self.work_s += seconds
            if rows:
                shown.advance(rows, before=not seconds)

        return progress


def prepare(args: Namespace, experiment: str) -> Frame:
    """Find and check what `args` name; InputError before anything starts."""
    check_lengths(args)
    storage = Path(args.storage).resolve()
    uri = tracking_uri(args.tracking_uri, storage)
    announce(uri)
    check_store(uri, experiment, storage / "artifacts")
    source = sources.find_model(args, storage / "downloads", uri)
    puzzles = sources.find_puzzles(args, storage / "downloads", uri, source.model)
    sources.check_fit(source.model, puzzles)
    args.name = args.name or f"{experiment}-{source.weights_hash[:8]}"
    folder = JobFolder(storage / args.name, "study")
    folder.check(args.resume)
    tracker = Tracker(uri, experiment, args.name, storage / "artifacts")
    return Frame(args, source, puzzles, folder, tracker, Request(cpus=1, gpus=args.gpus, at_most=args.workers))


def check_lengths(args: Namespace) -> None:
    """InputError for a number of segments or rollouts whose arrays fit into no memory."""
    for option in ("segments", "depth", "K"):
        given = getattr(args, option, None) or 0
        if (most := max(given) if isinstance(given, list) else given) > MOST_SEGMENTS:
            raise InputError(f"--{option} {most} is too many: use {MOST_SEGMENTS} at most")


def conduct(
    frame: Frame, plan: Callable[[dict[str, float]], dict], work: Callable[[dict, dict[str, float], str], None]
) -> None:
    """Run or resume a study.

    `plan(resources)` gives the settings of a new study; a resumed one keeps its own. `work(record, resources, run)`
    does everything else, by record["settings"]; if it raises an error, its run is closed as FAILED or KILLED.
    """
    began = time.monotonic()
    stop_on_signals()
    args, folder, tracker = frame.args, frame.folder, frame.tracker
    tracker.connect()
    if args.resume:
        tracker.refuse_deleted()
    with ray_session(args.address, 1, args.verbose, frame.request.gpus) as resources:
        print(f"cluster   {trials_at_once(frame.request, resources)} tasks at once, each {frame.request}")
        with folder.claim(), tracker:
            data_hash = frame.puzzles.content_hash()
            folder.start(
                {
                    "arguments": {name: value for name, value in vars(args).items() if name not in FREE},
                    "settings": (folder.read("study") or {}).get("settings") or plan(resources),
                    "data_hash": data_hash,
                    "kind": tracker.kind,
                    "git_commit": git_commit(Path(__file__).parent),
                }
            )
            record = folder.known()
            run = tracker.run("study", folder.path.name, record["settings"], _tags(frame.source, record))
            tracker.reopen(run)
            tracker.dataset(run, frame.puzzles.task, data_hash, args.data or "the sweep's test puzzles", "test")
            try:
                work(record, resources, run)
            except BaseException as error:
                tracker.close_open_runs("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
                raise
            tracker.finish(run, "FINISHED")
    print(f"\nwall time {time.monotonic() - began:.0f} s, {frame.work_s:.0f} s of work")


def publish_study(frame: Frame, report: Report, run: str, result: str, *others: str, digest: str = "") -> None:
    """Publish the report of a study, with its tables, its record, the file `result` of its folder and `others`.

    `digest`: sha256 of the result file, where it is printed.
    """
    path = frame.folder.path
    (path / "tables.txt").write_text(report.text + "\n", encoding="utf-8")
    report.files |= dict.fromkeys(("tables.txt", "study.json", result, *others), "")
    report.places += [f"result    {path / result}", *([f"          sha256 {digest}"] if digest else [])]
    publish(report, frame.folder, frame.tracker, run)


def _tags(source: sources.Source, record: dict) -> dict[str, str]:
    named = {f"rrm.source_{name}": value for name, value in source.provenance.items()}
    return named | {
        "rrm.label": source.label,
        "rrm.checkpoint_hash": source.weights_hash,
        "rrm.data_hash": record["data_hash"],
        "mlflow.source.git.commit": record["git_commit"],
    }
