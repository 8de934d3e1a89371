"""The checkpoint and the puzzles of a study: from a run, from a folder of rrm, or from public files."""

from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rrm.errors import InputError
from rrm.files import MOST_CONFIG, file_hash, parse_object, read_text, refusing
from rrm.jobs.folder import puzzles_file
from rrm.models import Model, RecursiveModel, load_official, official_segments, read_checkpoint, recursive
from rrm.models.public_config import DATA_SHAPE, flat
from rrm.models.public_file import PublicWeights
from rrm.tasks import PuzzleSet, get_task
from rrm.tasks.official_files import OfficialPart
from rrm.tasks.puzzle_csv import distinct_rows, read_puzzles
from rrm.tasks.puzzle_file import load_puzzles
from rrm.tracking.read import download, find_run
from rrm.training import checkpoint


@dataclass(frozen=True)
class Source:
    """A trained model and where it comes from.

    segments: length of its rollouts in evaluation.  weights_hash: sha256 of the weights file.  label: its name in
    tables and figures.  provenance: names of its runs and files; the same for the same checkpoint.
    """

    model: RecursiveModel
    segments: int
    weights_hash: str
    label: str
    provenance: dict[str, str]


def find_model(args: Namespace, cache: Path, tracking_uri: str) -> Source:
    """The model of --run or --checkpoint; InputError where it cannot be found."""
    if args.run:
        return _of_run(args, cache, tracking_uri)
    path = Path(args.checkpoint)
    if path.is_dir():
        return _of_folder(path, args.weights, path.resolve().name, {"checkpoint": path.resolve().name})
    return _of_public(path, args.config, args.segments, args.weights)


def _of_run(args: Namespace, cache: Path, tracking_uri: str) -> Source:
    run = find_run(tracking_uri, args.run)
    if best := run.data.tags.get("rrm.best_trial"):
        raise InputError(f"run {args.run} is a whole sweep: give the run of one of its trials, such as {best}'s")
    folder = download(tracking_uri, args.run, "checkpoint", cache)
    tags, name = run.data.tags, run.data.tags.get("rrm.name", args.run[:8])
    model = tags.get("rrm.model") or run.data.params.get("model")
    # The sweep's own label of the trial; a trial that was logged without an arm has its name alone.
    label = ", ".join(part for part in (model, tags.get("rrm.arm", name)) if part)
    return _of_folder(folder, args.weights, label, {"run": args.run, "trial": name})


def _of_folder(folder: Path, which: str, label: str, provenance: dict[str, str]) -> Source:
    model = recursive(checkpoint.load_model(folder, which), f"a study of {folder}")
    meta = checkpoint.read_meta(folder)
    hashed = checkpoint.weights_hash(folder, which)
    return Source(model, meta[which]["segments"], hashed, label, provenance | {"weights": which})


def _of_public(path: Path, config: str | None, segments: int | None, which: str) -> Source:
    # "best" and "final" are rrm's own, and the default says nothing about a public file.
    weights = read_checkpoint(path, None if which in checkpoint.WEIGHTS else which)
    if weights.others:
        others = ", ".join(map(repr, weights.others))
        print(f"weights   {weights.name!r} of {path.name}, which also holds {others} (--weights NAME)")
    config, settings = _public_config(path, config, weights)
    try:
        depth = segments or official_segments(weights, settings)
        model = load_official(weights, settings)
    except InputError as error:
        raise InputError(f"{path} with {config}: {error}") from None
    if type(depth) is not int or not 1 <= depth <= checkpoint.MOST_SEGMENTS:
        said = "do not say how many segments an evaluation has" if depth is None else f"say {depth!r:.40} segments"
        raise InputError(f"{path} and {config} {said} (halt_max_steps, for SRM active_H): give --segments, from 1")
    taken = {"weights": weights.name} if weights.others else {}
    return Source(model, depth, file_hash(path), path.stem, {"checkpoint": path.name} | taken)


# The names under which the public loops keep their configuration beside a checkpoint.
_BESIDE = ("latest_config.yaml", "all_config.yaml", "config.yaml", "config.json")


def _public_config(path: Path, config: str | None, weights: PublicWeights) -> tuple[str, dict]:
    """(name, content) of the configuration: --config, else a file beside the checkpoint, else the checkpoint's own."""
    if config is not None:
        return f"--config {config}", read_config(config)
    for name in _BESIDE:
        if (beside := path.with_name(name)).is_file():
            print(f"config    {beside}")
            return str(beside), read_config(beside)
    if isinstance(own := weights.said.get("config"), dict):
        return "its own configuration", flat(own)
    raise InputError(
        f"{path} is no checkpoint folder of rrm, and no {', '.join(_BESIDE)} lies beside it: a public checkpoint needs "
        "its --config FILE"
    )


def read_config(path: str | Path) -> dict:
    """A public configuration for `load_official`, from JSON or from the field's YAML (all_config.yaml).

    If the file has a section `arch`, that section counts, with the keys beside it that describe data and depth. The
    files of the public training loops lack the shape of the data, which the user must add.
    """
    remedy = f"name the configuration of the checkpoint, as JSON or YAML, with {', '.join(DATA_SHAPE)}"
    text = read_text(path, remedy, MOST_CONFIG, "configuration in UTF-8").removeprefix("\ufeff")
    return flat(_plain_yaml(text, path, remedy) if _is_yaml(path) else parse_object(text, path, remedy))


_DEEPEST = 20


def _is_yaml(path: str | Path) -> bool:
    return Path(path).suffix in (".yaml", ".yml")


def _plain_yaml(text: str, path: str | Path, remedy: str) -> dict:
    """The mapping of a YAML file. Tags, which make objects, and aliases, which can grow without end, are refused."""
    import yaml

    with refusing(path, "configuration in YAML", remedy):
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent) or getattr(event, "tag", None) is not None:
                raise ValueError(
                    f"line {event.start_mark.line + 1} has a tag or an alias: write the value there instead"
                )
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            # The parser's time grows with the square of the depth.
            if depth > _DEEPEST:
                raise ValueError(f"it is nested deeper than {_DEEPEST} levels")
        content = yaml.safe_load(text)
        if not isinstance(content, dict):
            raise ValueError("it is no mapping")
    return content


def find_puzzles(args: Namespace, cache: Path, tracking_uri: str, model: RecursiveModel | None = None) -> PuzzleSet:
    """The puzzles of --data, or the test puzzles of the run's sweep; at most --count of them, a seeded sample.

    All identifiers of an npy folder are checked against the table of `model`, so that no sample hides a wrong one.
    """
    if args.data is None:
        if not args.run:
            raise InputError("a checkpoint says nothing of puzzles: give --data")
        tags = find_run(tracking_uri, args.run).data.tags
        parent, name = tags.get("mlflow.parentRunId", args.run), puzzles_file(tags.get("rrm.data"))
        file = download(tracking_uri, parent, f"puzzles/{name}", cache)
        return _sample(load_puzzles(file), args.count, args.seed)
    path = Path(args.data)
    if path.is_dir():
        root = path / "test" if (path / "test" / "dataset.json").exists() else path
        if not (root / "dataset.json").exists():
            raise InputError(f"--data {path} holds no dataset.json: give a part of the field's npy format, or a CSV")
        part = OfficialPart.read(root)
        if model is not None:
            _check_identifiers(model, part.puzzle_identifiers)
        distinct = _counted(path, part.distinct(), len(part.originals))
        return part.puzzles(distinct[sample_rows(len(distinct), args.count, args.seed)])
    if path.suffix == ".npz":
        puzzles = load_puzzles(path)
        if not len(puzzles):
            raise InputError(f"--data {path} holds no puzzle: give another set")
        return _sample(puzzles.subset(_counted(path, puzzles.distinct(), len(puzzles))), args.count, args.seed)
    if not path.is_file():
        raise InputError(f"--data {path} does not exist: give a CSV file, a .npz puzzle set or an npy folder")
    distinct = _counted(path, *distinct_rows(path))
    return read_puzzles(path, distinct[sample_rows(len(distinct), args.count, args.seed)])


def _counted(path: Path, distinct: np.ndarray, rows: int) -> np.ndarray:
    """The distinct rows, for each puzzle counts once; a message gives the number of repeated ones."""
    if len(distinct) < rows:
        print(f"distinct  {len(distinct)} of the {rows} puzzles in {path}: the others repeat one of them")
    return distinct


def check_fit(model: Model, puzzles: PuzzleSet) -> None:
    """InputError where the model does not fit the shape of the puzzles, or has no vector for one of them."""
    task, config = get_task(puzzles.task), model.config
    if (config.seq_len, config.vocab_size) != (task.seq_len, task.vocab_size):
        raise InputError(
            f"the model reads {config.seq_len} cells of {config.vocab_size} tokens, {task.name} has {task.seq_len} of "
            f"{task.vocab_size}: give puzzles of the task it was trained on"
        )
    if isinstance(model, RecursiveModel):
        _check_identifiers(model, puzzles.puzzle_identifiers)


def _check_identifiers(model: RecursiveModel, identifiers: np.ndarray) -> None:
    rows = model.config.num_puzzle_identifiers
    if model.config.puzzle_emb_ndim and identifiers.max() >= rows:
        raise InputError(
            f"the puzzles have identifiers up to {identifiers.max()}, the model's table of puzzle vectors has {rows} "
            "rows (num_puzzle_identifiers): give puzzles and a model of the same data"
        )


def _sample(puzzles: PuzzleSet, count: int | None, seed: int) -> PuzzleSet:
    return puzzles if count is None else puzzles.subset(sample_rows(len(puzzles), count, seed))


def sample_rows(available: int, count: int | None, seed: int) -> np.ndarray:
    """The numbers of the chosen rows: all, or a seeded sample in the order of the file."""
    if count is None or count >= available:
        return np.arange(available)
    return np.sort(np.random.Generator(np.random.Philox(seed)).choice(available, count, replace=False))
