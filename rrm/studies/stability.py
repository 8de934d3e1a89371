"""A stability study of one checkpoint: the spectra of every puzzle, then all measurements to compare them with."""

import json
from argparse import Namespace
from dataclasses import asdict, replace

import numpy as np
import torch

from rrm import __version__
from rrm.cluster.capacity import Request
from rrm.cluster.fanout import device_of, gather, measure_in_shards, plan_batch
from rrm.dynamics import Settings, default_transient, escape, load_result, restarts
from rrm.dynamics.bases import BasesResult, start_bases
from rrm.dynamics.escape import EscapeResult
from rrm.dynamics.restarts import RestartResult
from rrm.dynamics.shards import save_rows
from rrm.errors import InputError
from rrm.files import file_hash
from rrm.models import RecursiveModel, build, describe, recursive
from rrm.reports.stability import Study, examples, kept, report
from rrm.statistics import evidence
from rrm.studies import sources
from rrm.studies.study import Frame, conduct, prepare, publish_study
from rrm.tasks import PuzzleSet

RESULT = "result.safetensors"
DEEP_ROWS = "deep.npz"
# The most puzzles in statistics and figures; they are evenly spaced where more were measured.
MOST_ROWS = 20_000
# Puzzles for the other measurements: untrained network, deep rollouts, kicked restarts, other start bases.
UNTRAINED, DEEP, KICKED, BASED = 256, 512, 128, 128
KICKS, COPIES, BASES = (0.01, 0.1, 1.0), 4, 5


def run_study(args: Namespace) -> None:
    """Run or resume the study that `args` describe and print its report; InputError before anything starts."""
    frame = prepare(args, "stability")
    model, puzzles = frame.source.model, frame.puzzles
    settings = _settings(args, frame.source, puzzles, frame.request)
    print(f"model     {frame.source.label}, {settings.segments} segments of {settings.calls_per_segment} calls")
    print(f"puzzles   {puzzles.task}: {len(puzzles)}")

    def plan(resources: dict[str, float]) -> dict:
        return asdict(replace(settings, batch=plan_batch(model, settings.k, len(puzzles), resources, frame.request)))

    def work(record: dict, resources: dict[str, float], run: str) -> None:
        said = report(_measure(frame, Settings(**record["settings"]), record, resources))
        digest = file_hash(frame.folder.path / RESULT)
        said.tags["rrm.result_hash"] = digest
        publish_study(frame, said, run, RESULT, "untrained.safetensors", DEEP_ROWS, digest=digest)

    conduct(frame, plan, work)


def _settings(args: Namespace, source: sources.Source, puzzles: PuzzleSet, request: Request) -> Settings:
    model = source.model
    segments = args.segments or source.segments
    transient = default_transient(segments) if args.transient is None else args.transient
    if not 0 <= transient < segments:
        raise InputError(f"--transient {transient}: of {segments} segments 0 to {segments - 1} can be left out")
    if not 1 <= args.k <= model.state_size:
        raise InputError(
            f"--k {args.k} is not possible: the tangent space has dimension {model.state_size}, use 1 to that"
        )
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
        transient=transient,
        backend="compiled" if args.compile else "eager",
        device=device_of(request),
    )


def _measure(frame: Frame, settings: Settings, record: dict, resources: dict[str, float]) -> Study:
    """All measurements that run as tasks; finished shards are read from the folder."""
    args, source, puzzles, folder = frame.args, frame.source, frame.puzzles, frame.folder
    model, request, bar = source.model, frame.request, frame.bar
    # Only values that are equal in two runs of one study, so that the file has the same bytes.
    provenance = source.provenance | {"rrm": __version__, "git_commit": record["git_commit"], "label": source.label}
    target = folder.path / RESULT
    measure_in_shards(
        model, puzzles, settings, folder.path / "spectra", target, provenance, resources, request,
        bar("Lyapunov spectra", len(puzzles)), keep_local=args.local, keep_covariant=args.covariant,
    )  # fmt: skip

    result = load_result(target, MOST_ROWS)
    finite = finite_rows(kept(result.finite))

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
    save_rows(deep, folder.path / DEEP_ROWS)
    arguments = {"segments": settings.segments, "kicks": (0.0, *KICKS), "copies": COPIES, "seed": args.seed}
    kicked = gather(
        restarts, RestartResult, model, kicked_puzzles, arguments, folder.path / "kicked",
        resources, request, bar("kicked restarts", len(kicked_puzzles)),
    )  # fmt: skip
    seeds = tuple(range(args.seed, args.seed + BASES))
    arguments = {"segments": settings.segments, "transient": settings.transient, "seeds": seeds}
    based_puzzles = puzzles.subset(few(BASED))
    bases = gather(
        start_bases, BasesResult, model, based_puzzles, arguments, folder.path / "bases",
        resources, request, bar(f"{BASES} start bases", len(based_puzzles)),
    )  # fmt: skip
    return Study(source.label, result, finite, evidence(examples(result, finite, null)), deep, kicked, bases)


def finite_rows(finite: np.ndarray) -> np.ndarray:
    """The rows with finite values, for the statistics; InputError without any."""
    if not finite.any():
        raise InputError(
            f"state or tangents are finite for none of {len(finite)} puzzles: name another checkpoint, or measure with "
            "--precision float64"
        )
    return np.flatnonzero(finite)


def untrained(model: RecursiveModel, seed: int) -> RecursiveModel:
    """A model like `model` with fresh weights, in its precision."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = recursive(build(describe(model)), "stability").eval()
    return fresh.to(next(model.parameters()).dtype)
