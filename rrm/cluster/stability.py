"""A stability study of one checkpoint: spectra of every puzzle, then everything that has to stand beside them."""

import json
import signal
import time
from argparse import Namespace
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from rrm import __version__
from rrm.cluster import sources
from rrm.cluster.fanout import device_of, gather, measure_in_shards, plan_batch
from rrm.cluster.folder import JobFolder
from rrm.cluster.progress import Bar
from rrm.cluster.session import Request, ray_session, trials_at_once
from rrm.cluster.stability_report import Study, examples, report
from rrm.dynamics import EscapeResult, RestartResult, Settings, escape, load_result, restarts
from rrm.errors import InputError
from rrm.models import RecursiveModel, build, describe
from rrm.statistics import evidence
from rrm.tasks import PuzzleSet
from rrm.tracking import Tracker, default_uri, git_commit

# Options that may differ between a study and its resumption.
FREE = ("resume", "verbose", "storage", "name", "address", "tracking_uri", "workers", "gpus")
# Puzzles behind the statistics and the figures, evenly spaced where more were measured.
MOST_ROWS = 20_000
# Puzzles of the studies beside the spectra: an untrained network, deep rollouts, kicked restarts.
UNTRAINED, DEEP, KICKED = 256, 512, 128
KICKS, COPIES = (0.01, 0.1, 1.0), 4


def run_study(args: Namespace) -> None:
    """Run or resume the study that `args` describe and print its report; InputError before anything starts."""
    began = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    storage = Path(args.storage).resolve()
    uri = args.tracking_uri or default_uri(storage)
    source = sources.find_model(args, storage / "downloads", uri)
    puzzles = sources.find_puzzles(args, storage / "downloads", uri)
    sources.check_fit(source.model, puzzles)
    folder = JobFolder(storage / (args.name or f"stability-{source.weights_hash[:8]}"), "study")
    folder.check(args.resume)
    tracker = Tracker(uri, "stability", folder.path.name, storage / "artifacts")
    request = Request(cpus=1, gpus=args.gpus, at_most=args.workers)
    settings = _settings(args, source, puzzles, request)
    print(f"model     {source.label}, {settings.segments} segments of {settings.calls_per_segment} calls")
    print(f"puzzles   {puzzles.task}: {len(puzzles)}")

    with ray_session(args.address, 1, args.verbose) as resources:
        print(f"cluster   {trials_at_once(request, resources)} tasks at once, each {request}")
        with folder.claim():
            if not folder.read("study"):
                settings = replace(settings, batch=plan_batch(source.model, settings.k, resources, request))
            record = {
                "arguments": {name: value for name, value in vars(args).items() if name not in FREE},
                "settings": asdict(settings),
                "data_hash": settings.data_hash,
                "git_commit": git_commit(Path(__file__).parent),
            }
            folder.start(record)
            record = folder.read("study")
            settings = Settings(**record["settings"])
            run = tracker.run("study", folder.path.name, asdict(settings), _tags(source, record))
            tracker.reopen(run)
            tracker.dataset(run, puzzles.task, settings.data_hash, args.data or "the sweep's test puzzles", "test")
            try:
                study, work = _measure(args, source, puzzles, settings, folder, record, resources, request)
                report(study, folder, tracker, run)
            except BaseException as error:
                tracker.close_open_runs("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
                raise
            tracker.finish(run, "FINISHED")
    print(f"\nwall time {time.monotonic() - began:.0f} s, {work:.0f} s of work")


def _settings(args: Namespace, source: sources.Source, puzzles: PuzzleSet, request: Request) -> Settings:
    model = source.model
    segments = args.segments or source.segments
    dimension = 2 * model.initial_state(1, torch.Generator().manual_seed(0)).z_H.numel()
    if not 1 <= args.k <= dimension:
        raise InputError(f"--k {args.k} is not possible: the tangent space has dimension {dimension}, use 1 to that")
    if args.precision == "float64":
        model.double()
    return Settings(
        k=args.k,
        segments=segments,
        calls_per_segment=len(model.segment_calls),
        seed=args.seed,
        precision="float64" if args.precision == "float64" else "float32",
        tangent_precision="float32" if args.precision == "float32" else "float64",
        model=json.dumps(describe(model), sort_keys=True),
        task=puzzles.task,
        checkpoint_hash=source.weights_hash,
        data_hash=puzzles.content_hash(),
        backend="compiled" if args.compile else "eager",
        device=device_of(request),
    )


def _tags(source: sources.Source, record: dict) -> dict[str, str]:
    named = {f"rrm.source_{name}": value for name, value in source.provenance.items()}
    return named | {
        "rrm.label": source.label,
        "rrm.checkpoint_hash": source.weights_hash,
        "rrm.data_hash": record["data_hash"],
        "mlflow.source.git.commit": record["git_commit"],
    }


def _measure(args, source, puzzles, settings, folder, record, resources, request) -> tuple[Study, float]:
    """Everything that takes tasks, finished shards first read from the folder; -> the study, seconds of work now."""
    work, model = 0.0, source.model

    def bar(title: str, total: int):
        shown = Bar(title, total)

        def progress(rows: int, seconds: float) -> None:
            nonlocal work
            work += seconds
            if rows:
                shown.advance(rows)

        return progress

    # Nothing that differs between two runs of the same study: the file is the same bytes each time.
    provenance = source.provenance | {"rrm": __version__, "git_commit": record["git_commit"], "label": source.label}
    target = folder.path / "result.safetensors"
    measure_in_shards(
        model, puzzles, settings, folder.path / "spectra", target, provenance, resources, request,
        bar("Lyapunov spectra", len(puzzles)), keep_local=args.local, keep_covariant=args.covariant,
    )  # fmt: skip

    def few(most: int) -> np.ndarray:
        return sources.sample_rows(len(puzzles), most, args.seed)

    fresh, rows = untrained(model, args.seed), few(UNTRAINED)
    one = replace(settings, k=1, checkpoint_hash="untrained")
    measure_in_shards(
        fresh, puzzles.subset(rows), one, folder.path / "untrained", folder.path / "untrained.safetensors", {},
        resources, request, bar("untrained network", len(rows)),
    )  # fmt: skip
    null = dict(zip(rows, load_result(folder.path / "untrained.safetensors").lambda_per_call[:, 0], strict=True))

    depth = args.depth or 8 * settings.segments
    deep_puzzles, kicked_puzzles = puzzles.subset(few(DEEP)), puzzles.subset(few(KICKED))
    deep = gather(
        escape, EscapeResult, model, deep_puzzles, {"segments": depth, "seed": args.seed}, folder.path / "deep",
        resources, request, bar(f"rollouts to {depth} segments", len(deep_puzzles)),
    )  # fmt: skip
    arguments = {"segments": settings.segments, "kicks": (0.0, *KICKS), "copies": COPIES, "seed": args.seed}
    kicked = gather(
        restarts, RestartResult, model, kicked_puzzles, arguments, folder.path / "kicked",
        resources, request, bar("kicked restarts", len(kicked_puzzles)),
    )  # fmt: skip
    result = load_result(target, MOST_ROWS)
    rows = np.flatnonzero(result.finite)
    return Study(source.label, result, rows, evidence(examples(result, rows, null)), deep, kicked), work


def untrained(model: RecursiveModel, seed: int) -> RecursiveModel:
    """A model like `model` with fresh weights, in its precision."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = build(describe(model)).eval()
    return fresh.to(next(model.parameters()).dtype)
