"""A study of the heads of one checkpoint: what they look at, which of them a training changed, and what they carry."""

import hashlib
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rrm.cluster.fanout import gather, gather_shards
from rrm.dynamics.ablation import AblationRows, ablated_answers
from rrm.dynamics.attention import ChangeRows, HeadRows, compare_heads, join_heads, record_heads
from rrm.errors import InputError
from rrm.files import file_hash
from rrm.jobs.heads import OTHER_ORDER, RANDOM_LABELS
from rrm.models import RecursiveModel, recursive
from rrm.models.attending import attentions, head_shape
from rrm.models.srm import SRM
from rrm.reports.head_study import AFTER, AGAINST, BEFORE, HeadStudy
from rrm.reports.heads import report
from rrm.statistics.heads import Ablation, null_band, plan_ablations, plan_needed
from rrm.statistics.weight_change import WeightChange, weight_changes
from rrm.studies.estimate import say_expected_rollouts
from rrm.studies.study import Frame, conduct, prepare, publish_study
from rrm.tasks import get_task
from rrm.tasks.head_summary import HEADS, HeadSummary, save_heads
from rrm.tasks.patterns import puzzle_patterns
from rrm.tracking import tracking_uri
from rrm.tracking.failure import answering
from rrm.tracking.read import download, find_run, open_client
from rrm.training import checkpoint


@dataclass(frozen=True)
class Other:
    """A model to compare with.

    Attributes:
        name: what it is to the model of the study.
        model: the network.
        folder: of its checkpoint.
        weights: of the folder.
    """

    name: str
    model: RecursiveModel
    folder: Path
    weights: str


def run_study(args: Namespace, studies: int = 1) -> None:
    """Run or resume the study that `args` describe and print its report; InputError before anything starts.

    studies: as many are to come, this one included, of which the expected time is said; 0 to say nothing.
    """
    frame = prepare(args, "heads")
    model, puzzles = frame.source.model, frame.puzzles
    head_shape(model)
    task = get_task(puzzles.task)
    puzzle_patterns(puzzles.subset(slice(0, 1)), task, model.half_shape[0] - task.seq_len)
    own = folder_of(args)
    others = _others(args, frame, own)
    if not others:
        raise InputError(
            f"{frame.source.label} has no weights from before its training, and nothing to compare it with: give "
            "--against, a run or a checkpoint folder"
        )
    segments = args.segments or frame.source.segments
    settings = {"segments": segments, "seed": args.seed, "draws": args.draws,
                "others": {one.name: checkpoint.weights_hash(one.folder, one.weights) for one in others}}  # fmt: skip
    print(f"model     {frame.source.label}, {segments} segments of {len(model.segment_calls)} calls")
    print(f"compared  with {', '.join(one.name for one in others)}")
    print(f"puzzles   {puzzles.task}: {len(puzzles)}")

    def work(record: dict, resources: dict[str, float], run: str) -> None:
        if record["settings"]["others"] != settings["others"]:
            raise InputError("the models that this study compares with have changed: choose another --name")
        if studies and not args.resume:
            say_expected_rollouts(frame, studies * _segments(frame, record["settings"], len(others)), resources)
        study = _measure(frame, record["settings"], others, own, resources)
        said = report(study)
        digest = file_hash(frame.folder.path / HEADS)
        said.tags["rrm.result_hash"] = digest
        publish_study(frame, said, run, HEADS, digest=digest)

    conduct(frame, lambda resources: settings, work)


def _segments(frame: Frame, settings: dict, others: int) -> float:
    """About the segments of rollouts of all puzzles, as recording and comparing cost them."""
    layers, heads = head_shape(frame.source.model)
    calls = settings["segments"] * len(frame.source.model.segment_calls)
    planned = len(plan_ablations(np.zeros((calls, len(layers), heads)), settings["seed"], settings["draws"]))
    return (2 * (1 + others) + 2 * (1 + others) + planned + 2) * settings["segments"] * len(frame.puzzles)


def folder_of(args: Namespace) -> Path | None:
    """The checkpoint folder of the model; None for a public file."""
    if args.run:
        storage = Path(args.storage).resolve()
        return download(tracking_uri(args.tracking_uri, storage), args.run, "checkpoint", storage / "downloads")
    path = Path(args.checkpoint)
    return path if path.is_dir() else None


def _others(args: Namespace, frame: Frame, own: Path | None) -> list[Other]:
    """The models to compare with; InputError for one that is nowhere, or of another shape."""
    places: dict[str, tuple[Path, str]] = {}
    if own is not None and BEFORE in _described(own) and args.weights != BEFORE:
        places[BEFORE] = own, BEFORE
    named = {AGAINST: args.against, OTHER_ORDER: args.null, RANDOM_LABELS: args.control}
    siblings = _siblings(args, frame) if args.run else {}
    named |= dict.fromkeys(args.arms)
    for name, given in named.items():
        if place := given or siblings.get(name):
            # Nothing is learned from random labels, so that the best weights are those of a step by chance.
            places[name] = _find(frame, args, place), "final" if name == RANDOM_LABELS else "best"
    found = []
    for name, (folder, weights) in places.items():
        other = recursive(checkpoint.load_model(folder, weights), "a study of heads")
        if isinstance(other, SRM) and isinstance(frame.source.model, SRM):
            other.set_L_cycles(frame.source.model.config.L_cycles)  # which may have grown in the training
        if _shape(other) != _shape(frame.source.model):
            raise InputError(f"{folder} ({name}) has a network of another shape: compare trainings of one network")
        found.append(Other(name, other, folder, weights))
    return found


def _shape(model: RecursiveModel) -> tuple:
    """What two networks have in common whose heads can be compared."""
    heads = head_shape(model) if attentions(model) else None
    return type(model), heads, model.segment_calls, model.half_shape, model.config.vocab_size


def _described(folder: Path) -> dict:
    return checkpoint.read_meta(folder)


def _find(frame: Frame, args: Namespace, place: str) -> Path:
    """The checkpoint folder of a run of the store, or a folder."""
    if Path(place).is_dir():
        return Path(place)
    return download(frame.tracker.uri, place, "checkpoint", Path(args.storage).resolve() / "downloads")


def _siblings(args: Namespace, frame: Frame) -> dict[str, str]:
    """The ids of the runs of the same sweep, model type and seed by their arm."""
    tags = find_run(frame.tracker.uri, args.run).data.tags
    if "mlflow.parentRunId" not in tags:
        return {}
    with answering(frame.tracker.uri):
        client = open_client(frame.tracker.uri)
        experiment = client.get_run(args.run).info.experiment_id
        query = f"tags.`mlflow.parentRunId` = '{tags['mlflow.parentRunId']}'"
        runs = client.search_runs([experiment], query, max_results=5000)
    same = ("rrm.model", "rrm.seed", "rrm.data")
    alike = [run for run in runs if all(run.data.tags.get(tag) == tags.get(tag) for tag in same)]
    return {run.data.tags["rrm.arm"]: run.info.run_id for run in alike if "rrm.arm" in run.data.tags}


def _measure(
    frame: Frame, settings: dict, others: Sequence[Other], own: Path | None, resources: dict[str, float]
) -> HeadStudy:
    """Everything that runs as tasks, then the summary, which is written; finished shards are read from the folder."""
    model, puzzles, path = frame.source.model, frame.puzzles, frame.folder.path
    shared = {"segments": settings["segments"], "seed": settings["seed"]}
    request, count = frame.request, len(puzzles)
    scored: dict[str, HeadRows] = {}
    for name, network in [(AFTER, model), *((one.name, one.model) for one in others)]:
        folder = path / "scores" / name.replace(" ", "-")
        bar = frame.bar(f"scores of heads, {name}", count)
        shards = gather_shards(record_heads, HeadRows, network, puzzles, shared, folder, resources, request, bar)
        scored[name] = join_heads(shards)
    arguments = shared | {"others": [one.model for one in others]}
    changes = gather(
        compare_heads, ChangeRows, model, puzzles, arguments, path / "changes", resources, request,
        frame.bar("changes of heads", count),
    )  # fmt: skip
    js = changes.js.mean(0)
    chance = [settings["seed"], int(frame.source.weights_hash[:8], 16)]
    ablations = plan_ablations(js[0], chance, settings["draws"])
    right = gather(
        ablated_answers, AblationRows, model, puzzles, shared | as_arguments(ablations), path / _place(ablations),
        resources, request, frame.bar(f"{len(ablations)} ablations", count),
    ).right  # fmt: skip
    # What heads carry that were chosen on the first half of the puzzles is asked on the second half.
    half = count // 2
    needed = plan_needed(ablations, right[: max(1, half)])
    without = gather(
        ablated_answers, AblationRows, model, puzzles, shared | as_arguments(needed), path / _place(needed),
        resources, request, frame.bar("ablation of needed heads", count),
    ).right[half:]  # fmt: skip
    summary = summary_of(frame.source.label, frame.puzzles.task, frame.puzzles.content_hash(), scored, js)
    save_heads(summary, path / HEADS)
    aligned = {one.name: began_alike(own, one.folder) for one in others if one.name != BEFORE}
    weights = {one.name: weight_changes_of(own, one.name, one.folder) for one in others}
    accuracy = {one.name: float(scored[one.name].right.mean()) for one in others}
    return HeadStudy(
        summary, changes.js, scored[AFTER].right, looks(scored[AFTER]), accuracy,
        ablations, right, needed, without, {name: changed for name, changed in weights.items() if changed}, aligned,
    )  # fmt: skip


def as_arguments(ablations: Sequence[Ablation]) -> dict:
    return {"off": np.stack([one.off for one in ablations]), "kinds": [one.kind for one in ablations]}


def _place(ablations: Sequence[Ablation]) -> str:
    """The folder of the shards of these ablations alone: an older rrm may have planned others."""
    told = b"".join([np.packbits(one.off).tobytes() + one.kind.encode() for one in ablations])
    return f"ablations-{hashlib.sha256(told).hexdigest()[:8]}"


def summary_of(label: str, task: str, probe: str, scored: dict[str, HeadRows], js: np.ndarray) -> HeadSummary:
    """Means over puzzles of the scores and changes.

    Args:
        label, task, probe: as of `HeadSummary`.
        scored: by name of the model, the first one AFTER.
        js: [M - 1, T, Y, N].
    """
    first = scored[AFTER]
    # Positions that see only those before them have no null.
    bands = [np.where(rows.null.any(-1), null_band(rows.null, rows.counted), np.nan) for rows in scored.values()]

    def means(name: str) -> np.ndarray:
        return np.stack([_mean(getattr(rows, name)) for rows in scored.values()])

    columns, maps = (np.stack([getattr(rows, name) for rows in scored.values()]) / len(first.index)
                     for name in ("columns", "maps"))  # fmt: skip
    return HeadSummary(
        label=label, task=task, models=",".join(scored), calls=first.calls,
        layers=first.layers, patterns=first.patterns, probe=probe, puzzles=len(first.index),
        solved=int(first.right.sum()), lift=means("lift"), low=np.stack([low for low, _ in bands]),
        high=np.stack([high for _, high in bands]),
        outcome=np.stack([_mean(first.lift[first.right == solved]) for solved in (True, False)]),
        entropy=means("entropy"), cosine=means("cosine"), fixed=columns.max(-1) * columns.shape[-1], js=js, maps=maps,
    )  # fmt: skip


def looks(rows: HeadRows) -> np.ndarray:
    """[B, P] log of the lift of each puzzle on each pattern, mean over heads and calls."""
    with np.errstate(divide="ignore"):
        B, *_, P = rows.lift.shape
        return np.log(_mean(rows.lift.transpose(1, 2, 3, 0, 4).reshape(-1, B, P)))


def _mean(values: np.ndarray) -> np.ndarray:
    """Over the first axis, of the numbers that there are; nan for a layer that rests, or an outcome without puzzles."""
    known = np.isfinite(values)
    total, count = np.where(known, values, 0).sum(0, dtype=float), known.sum(0)
    return np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)


def began_alike(own: Path | None, other: Path) -> bool:
    """Whether two trainings began with the same weights, so that head n of one is that of the other."""
    folders = [folder for folder in (own, other) if folder is not None and BEFORE in _described(folder)]
    return len(folders) == 2 and len({checkpoint.weights_hash(folder, BEFORE) for folder in folders}) == 1


def weight_changes_of(own: Path | None, name: str, folder: Path) -> list[WeightChange]:
    """The changes of weights in the checkpoint folder of another model at the end of the trainings, of equal steps.

    Those of the training itself for BEFORE, between the two trainings for AGAINST, of the other one from its own start
    for all else.
    """
    if own is None:
        return []
    ends = [checkpoint.load_tensors(of / "final.safetensors") for of in (own, folder)]
    starts = [of / f"{BEFORE}.safetensors" for of in (own, folder)]
    if name == AGAINST:
        before, after = ends[1], ends[0]
    elif starts[1].exists():
        before, after = checkpoint.load_tensors(starts[1]), ends[1]
    else:
        return []
    arrays = [{name: tensor.float().numpy() for name, tensor in of.items()} for of in (before, after)]
    return weight_changes(*arrays)
