"""A study of the heads of a network that computes modular arithmetic, as of puzzles; it takes seconds, in one process.

The pairs are those that training did not see, so that the gain is what the network generalises. The answer is read at
the last position, the only one that the last layer computes.
"""

import hashlib
import time
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from rrm.dynamics.ablation import ablate
from rrm.dynamics.attention import HeadRows, Scorer, divergence
from rrm.errors import InputError
from rrm.files import file_hash
from rrm.jobs.folder import JobFolder
from rrm.jobs.heads import OTHER_ORDER, RANDOM_LABELS
from rrm.models import TokenModel
from rrm.models.attending import Attended, head_shape, record_attention
from rrm.reports.head_study import AFTER, AGAINST, BEFORE, HeadStudy
from rrm.reports.heads import report
from rrm.statistics.heads import Ablation, plan_ablations, plan_needed
from rrm.studies.heads import began_alike, folder_of, looks, summary_of, weight_changes_of
from rrm.studies.networks import Networks
from rrm.studies.publish import publish
from rrm.studies.sources import sample_rows
from rrm.tasks.head_summary import HEADS, PASS, save_heads
from rrm.tasks.modular import ModularArithmetic
from rrm.tasks.patterns import equation_patterns
from rrm.tracking import Tracker, announce, check_store, git_commit, tracking_uri
from rrm.tracking.read import download
from rrm.tracking.reader import Run
from rrm.tracking.store_reader import StoreReader

EXPERIMENT = "heads"


def is_of_tokens(args: Namespace) -> bool:
    """Whether a study is of a network that was trained on modular arithmetic."""
    try:
        folder = folder_of(args)
        return folder is not None and bool(Networks(folder).table)
    except InputError:
        return False  # of a wrong id or folder the study of puzzles says more


def run_study(args: Namespace) -> None:
    """Run the study that `args` describe and print its report; InputError before anything starts."""
    began = time.monotonic()
    storage = Path(args.storage).resolve()
    uri = tracking_uri(args.tracking_uri, storage)
    announce(uri)
    check_store(uri, EXPERIMENT, storage / "artifacts")
    if args.data:
        raise InputError("--data is of puzzles, and this network knows the pairs of its table: leave --data out")
    own = folder_of(args)
    assert own is not None
    networks = Networks(own)
    model, table = networks.token_model(args.weights), networks.table
    head_shape(model)
    unseen = np.flatnonzero(~table.train)
    rows = unseen[sample_rows(len(unseen), args.count, args.seed)]
    others = _others(args, uri, storage, own, model)
    if not others:
        raise InputError(f"{own} has no weights from before its training: give --against, a run or a checkpoint folder")
    label = _label(args, uri, storage, own)
    print(
        f"model     {label}, one pass\ncompared  with {', '.join(others)}\npairs     {table.name}: {len(rows)} unseen"
    )
    args.name = args.name or f"{EXPERIMENT}-{file_hash(own / f'{args.weights}.safetensors')[:8]}"
    folder, tracker = (
        JobFolder(storage / args.name, "study"),
        Tracker(uri, EXPERIMENT, args.name, storage / "artifacts"),
    )
    folder.check(args.resume)
    tracker.connect()
    with folder.claim(), tracker:
        kept = {name: getattr(args, name) for name in ("run", "checkpoint", "weights", "count", "draws", "seed")}
        digest = hashlib.sha256(table.tokens[rows].tobytes()).hexdigest()
        folder.start({"arguments": kept, "data_hash": digest, "kind": EXPERIMENT,
                      "git_commit": git_commit(Path(__file__).parent)})  # fmt: skip
        run = tracker.run("study", args.name, {name: str(value) for name, value in kept.items()})
        tracker.reopen(run)
        study = _measure(label, own, model, others, table, rows, digest, args)
        save_heads(study.summary, folder.path / HEADS)
        said = report(study)
        (folder.path / "tables.txt").write_text(said.text + "\n", encoding="utf-8")
        said.files |= dict.fromkeys(("tables.txt", "study.json", HEADS), "")
        said.tags |= {"rrm.result_hash": file_hash(folder.path / HEADS), "rrm.label": label}
        said.tags |= {"rrm.source_run": args.run} if args.run else {}
        publish(said, folder, tracker, run)
        tracker.finish(run, "FINISHED")
    print(f"\nwall time {time.monotonic() - began:.0f} s")


def _label(args: Namespace, uri: str, storage: Path, own: Path) -> str:
    if not args.run:
        return own.resolve().name
    tags = StoreReader(uri, storage / "downloads", storage).run(args.run).tags
    return ", ".join(part for part in (tags.get("rrm.model"), tags.get("rrm.arm")) if part)


def _others(args: Namespace, uri: str, storage: Path, own: Path, model: TokenModel) -> dict[str, tuple[Path, str]]:
    """(folder, weights) of the models to compare with, by name.

    Its own first weights, those that are named, and the other arms of its sweep with the same seed and shape.
    """
    found = {BEFORE: (own, BEFORE)} if BEFORE in Networks(own).steps and args.weights != BEFORE else {}
    for name, given in ((AGAINST, args.against), (OTHER_ORDER, args.null), (RANDOM_LABELS, args.control)):
        if given:
            path = Path(given) if Path(given).is_dir() else download(uri, given, "checkpoint", storage / "downloads")
            found[name] = path, args.weights
    if args.run:
        reader = StoreReader(uri, storage / "downloads", storage)
        for run in _siblings(reader, reader.run(args.run)):
            # A comma would end the name in the result file.
            name = run.tags["rrm.arm"].replace(",", ";")
            if run.id not in (args.against, args.null, args.control):
                found[name] = download(uri, run.id, "checkpoint", storage / "downloads"), args.weights
    shape = _shape(model)
    for name, (path, weights) in list(found.items()):
        if _shape(Networks(path).token_model(weights)) != shape:
            if name in (AGAINST, OTHER_ORDER, RANDOM_LABELS):
                raise InputError(f"{path} ({name}) has a network of another shape: compare trainings of one network")
            del found[name]
    return found


def _siblings(reader: StoreReader, run: Run) -> list[Run]:
    """The finished runs of other arms of a sweep with the model type and seed of a run."""
    group = next((group for group in reader.groups() if run.parent and group.name == run.group), None)
    same = ("rrm.model", "rrm.seed")
    return [one for one in (reader.runs(group) if group else []) if one.id != run.id and one.role == "trial"
            and one.status == "FINISHED" and "rrm.arm" in one.tags
            and all(one.tags.get(tag) == run.tags.get(tag) for tag in same)]  # fmt: skip


def _shape(model: TokenModel) -> tuple:
    config = model.config
    return type(model), head_shape(model), config.vocab_size, config.classes


def _measure(
    label: str, own: Path, model: TokenModel, others: dict[str, tuple[Path, str]], table: ModularArithmetic,
    rows: np.ndarray, digest: str, args: Namespace,
) -> HeadStudy:  # fmt: skip
    tokens, targets = torch.from_numpy(table.tokens[rows]), table.targets[rows]
    networks = {AFTER: model} | {name: Networks(path).token_model(which) for name, (path, which) in others.items()}
    scored = {name: _score(one, tokens, targets, rows, args) for name, one in networks.items()}
    known = [place for place, count in enumerate(scored[AFTER].counted) if count]
    scored = {name: _only(of, known) for name, of in scored.items()}
    js = np.stack([_compare(model, networks[name], tokens) for name in others], 1)
    chance = [args.seed, int(file_hash(own / f"{args.weights}.safetensors")[:8], 16)]
    ablations = plan_ablations(js[:, 0].mean(0), chance, args.draws)
    right = _ablated(model, tokens, targets, ablations)
    half = len(rows) // 2
    needed = plan_needed(ablations, right[: max(1, half)])
    without = _ablated(model, tokens, targets, needed)[half:]
    return HeadStudy(
        summary_of(label, table.name, digest, scored, js.mean(0)), js, scored[AFTER].right, looks(scored[AFTER]),
        {name: float(scored[name].right.mean()) for name in others}, ablations, right, needed, without,
        {name: changes for name, (path, _) in others.items() if (changes := weight_changes_of(own, name, path))},
        {name: began_alike(own, path) for name, (path, _) in others.items() if name != BEFORE},
    )  # fmt: skip


@torch.no_grad()
def _score(model: TokenModel, tokens: torch.Tensor, targets: np.ndarray, rows: np.ndarray, args: Namespace) -> HeadRows:
    scorer = Scorer(model, equation_patterns(tokens.numpy()), len(tokens), seed=args.seed, draws=1)
    with record_attention(model, scorer):
        right = model(tokens).argmax(-1).numpy() == targets
    found = scorer.found() | {"maps": np.zeros((0, 0, 0, 0), np.float32)}
    return HeadRows(calls=PASS, index=rows, right=right, **found)


def _only(rows: HeadRows, places: Sequence[int]) -> HeadRows:
    """The scores of some patterns: others have no key that a query sees."""
    names = np.array(rows.patterns.split(","))[list(places)]
    return replace(rows, patterns=",".join(names), lift=rows.lift[..., places], null=rows.null[:, :, places],
                   counted=rows.counted[list(places)])  # fmt: skip


@torch.no_grad()
def _compare(model: TokenModel, other: TokenModel, tokens: torch.Tensor) -> np.ndarray:
    """[B, 1, Y, N] divergence of the heads of two networks."""
    seen: list[list[Attended]] = [[], []]
    for one, keep in zip((model, other), seen, strict=True):
        with record_attention(one, keep.append):
            one(tokens)
    rows = slice(None), slice(None)
    found = [divergence(a.shares(*rows), b.shares(*rows)) for a, b in zip(*seen, strict=True)]
    return torch.stack(found, 1).unsqueeze(1).numpy()


@torch.no_grad()
def _ablated(model: TokenModel, tokens: torch.Tensor, targets: np.ndarray, ablations: Sequence[Ablation]) -> np.ndarray:
    """Whether each answer is right under each ablation, bool [B, A]."""
    layers, right = head_shape(model)[0], []
    for one in ablations:
        with ablate(model, dict(zip(layers, one.off.swapaxes(0, 1), strict=True)), one.kind):
            right.append(model(tokens).argmax(-1).numpy() == targets)
    return np.stack(right, 1)
