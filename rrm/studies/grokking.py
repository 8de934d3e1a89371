"""A study of training runs that grok: read their histories and checkpoints, and publish what they say.

Stores spectra and routing of checkpoints along the trainings, from which the explorer draws without the networks.

In a notebook:

    from rrm.studies.grokking import load_runs
    runs = load_runs(["RUN_ID"], storage="runs")      # trials, or whole sweeps
    runs.summary(), runs.grok_times(), runs.select(grokked=True)[0].events.phases
"""

import hashlib
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from rrm.errors import InputError
from rrm.jobs.folder import JobFolder
from rrm.models.pairs import number_vectors, pair_logits
from rrm.reports.grokking import report, statistics_rows
from rrm.statistics.events import ACCURACIES
from rrm.statistics.fourier import THRESHOLD, Fourier, fourier
from rrm.statistics.routing import ROUTING, Routing, RoutingTrace, save_routing
from rrm.statistics.spectra import SPECTRA, Spectra, save_spectra, spectra
from rrm.statistics.training_runs import TrainingRun, TrainingRuns
from rrm.studies.networks import Networks, checkpoint_folder, open_reader, spread
from rrm.studies.publish import publish
from rrm.tasks.modular import ModularArithmetic
from rrm.terminal.table import write_csv
from rrm.tracking import Tracker, announce, check_store, git_commit, tracking_uri
from rrm.tracking.reader import Reader, Run

EXPERIMENT = "grokking-study"
STATISTICS = "statistics.csv"
# Networks whose Fourier structure is computed: the first runs of so many arms.
MOST_NETWORKS = 6
# Steps of a training whose routing is drawn, and those whose spectra and routing the explorer has to choose from.
MOST_STEPS, MOST_MOMENTS = 4, 8


def run_study(args: Namespace) -> None:
    """Read what `args` name and publish the report; InputError before anything starts."""
    storage = Path(args.storage).resolve()
    uri = tracking_uri(args.tracking_uri, storage)
    announce(uri)
    check_store(uri, EXPERIMENT, storage / "artifacts")
    runs = load_runs(args.run, storage, uri)
    sources = dict(_checkpoints(runs, args.run, storage, uri))
    sources |= {Path(path).resolve().name: (Path(path), "") for path in args.checkpoint}
    networks = {name: Networks(path) for name, (path, _) in sources.items()}
    ids = {name: run for name, (_, run) in sources.items()}
    structures = dict(
        found for name, of in networks.items() for found in structure(of, name, args.weights, args.threshold)
    )
    moments = [found for name, of in networks.items() for found in moments_of(of, name, ids[name])]
    routed = [RoutingTrace(label, ids[name], steps) for name, of in networks.items()
              for label, steps in routing(of, name)]  # fmt: skip
    said = report(runs, structures, {one.label: spread(one.steps, MOST_STEPS) for one in routed})
    arguments = {name: getattr(args, name) for name in ("run", "checkpoint", "weights", "threshold")}
    name = args.name or f"{EXPERIMENT}-{hashlib.sha256(repr(arguments).encode()).hexdigest()[:8]}"
    folder, tracker = JobFolder(storage / name, "study"), Tracker(uri, EXPERIMENT, name, storage / "artifacts")
    tracker.connect()
    with folder.claim(), tracker:
        commit = git_commit(Path(__file__).parent)
        folder.start({"arguments": arguments, "data_hash": "none", "kind": EXPERIMENT, "git_commit": commit})
        run = tracker.run("study", name, {**arguments, "run": ", ".join(args.run)})
        tracker.reopen(run)
        save_spectra(moments, folder.path / SPECTRA)
        save_routing(routed, folder.path / ROUTING)
        tracker.tags(run, {"rrm.source_run": " ".join(filter(None, ids.values()))})
        (folder.path / "tables.txt").write_text(said.text + "\n", encoding="utf-8")
        said.files |= {"tables.txt": "", "study.json": "", SPECTRA: "", ROUTING: ""}
        if rows := statistics_rows(runs):
            write_csv(rows, folder.path / STATISTICS)
            said.files[STATISTICS] = ""
        said.places.append(f"results   {folder.path}")
        publish(said, folder, tracker, run)
        tracker.finish(run, "FINISHED")


def load_runs(ids: Sequence[str], storage: str | Path = "runs", uri: str | None = None) -> TrainingRuns:
    """Runs by their ids: those of an MLflow store, or JOB and JOB/NAME of a job folder, which may still be running.

    The id of a whole sweep stands for all of its trials that have both accuracies.

    Args:
        ids: at least one.
        storage: the folder of the jobs.
        uri: of the store; by default the one that a command would use.

    Raises:
        InputError: an id that is nowhere, or that has no such trial.
    """
    storage = Path(storage).resolve()
    found: dict[str, TrainingRun] = {}
    for identity in ids:
        reader = open_reader(identity, storage, uri)
        run = reader.run(identity)
        children = [child for child in _siblings(reader, run) if child.parent == run.id]
        read = {of.id: _training_run(of, reader) for of in children or [run]}
        known = {key: of for key, of in read.items() if all(name in of.curves for name in ACCURACIES)}
        if not known:
            raise InputError(
                f"run {identity} has no series {' and '.join(ACCURACIES)}: give runs of networks that were trained on "
                "modular arithmetic, or of a sweep of them"
            )
        found |= known
    names = [run.name for run in found.values()]
    for key, named in found.items():
        # Two sweeps may have a trial of the same name.
        if names.count(named.name) > 1:
            found[key] = replace(named, name=f"{named.name}-{key[:8]}")
    return TrainingRuns(list(found.values()))


def structure(
    networks: Networks, label: str, weights: str = "final", threshold: float = THRESHOLD
) -> Iterator[tuple[str, Fourier]]:
    """(name, Fourier structure) of a network of a training, for each operation of its table.

    Args:
        networks: of the training.
        label: name of the training.
        weights: a name of `Networks.steps`, such as "final", or "500" of a snapshot.
        threshold: as for `rrm.statistics.fourier.key_frequencies`.

    Raises:
        InputError: a network that was not trained on modular arithmetic, or a p for which an operation is no group.
    """
    model, table = networks.token_model(weights), networks.table
    for place, name in _operations(table, label):
        try:
            logits, vectors = pair_logits(model, table.p, place), number_vectors(model, table.p)
            found = fourier(logits, table.operations[place], vectors, table.trained(place), threshold)
        except ValueError as error:
            raise InputError(f"{networks.folder}: {error}") from None
        yield name, found


def moments_of(networks: Networks, label: str, run: str = "", most: int = MOST_MOMENTS) -> Iterator[Spectra]:
    """Fourier structure at `most` moments of a training, spread evenly, for each operation of its table.

    Args, Raises: as for `structure`; run: the id of the training.
    """
    table = networks.table
    models = [(name, networks.steps[name], networks.token_model(name)) for name in networks.spread(most)]
    for place, name in _operations(table, label):
        answers = ((at, step, pair_logits(of, table.p, place), number_vectors(of, table.p)) for at, step, of in models)
        try:
            yield spectra(name, table.operations[place], answers, table.trained(place), run)
        except ValueError as error:
            raise InputError(f"{networks.folder}: {error}") from None


def routing(networks: Networks, label: str, most: int = MOST_MOMENTS) -> Iterator[tuple[str, list[Routing]]]:
    """(name, routing at `most` steps of the training, spread evenly) for each operation; nothing without routers."""
    chosen = networks.spread(most)
    if not networks.routing(chosen[-1]).weights:
        return
    for place, name in _operations(networks.table, label):
        yield name, [networks.routing(weights, place) for weights in chosen]


def _operations(table: ModularArithmetic, label: str) -> Iterator[tuple[int, str]]:
    """(place, label of a training with the operation where there are several) of each operation of a table."""
    for place, operation in enumerate(table.operations):
        yield place, f"{label}, {operation}" if len(table.operations) > 1 else label


def _siblings(reader: Reader, run: Run) -> list[Run]:
    """The runs of the job of a run that is the job's own; none for a trial."""
    if run.parent is not None:
        return []
    group = next((group for group in reader.groups() if group.run_id == run.id), None)
    return reader.runs(group) if group else []


def _training_run(run: Run, reader: Reader) -> TrainingRun:
    curves = reader.curves(run) or {name: reader.history(run, name) for name in run.metrics}
    tags, params = run.tags, run.params
    model = tags.get("rrm.model") or params.get("model", "")
    arm = tags.get("rrm.arm", "")
    seed = tags.get("rrm.seed") or params.get("seed") or params.get("recipe.seed") or "0"
    return TrainingRun(run.name, model, arm, int(seed), params, curves)


def _checkpoints(
    runs: TrainingRuns, ids: Sequence[str], storage: Path, uri: str
) -> Iterator[tuple[str, tuple[Path, str]]]:
    """(label, (folder, id of the run)) of the first run of each arm whose checkpoint is at hand."""
    sources: dict[str, tuple[Reader, Run]] = {}
    for identity in ids:
        reader = open_reader(identity, storage, uri)
        run = reader.run(identity)
        sources |= {of.name: (reader, of) for of in (run, *_siblings(reader, run))}
    for arm in runs.arms[:MOST_NETWORKS]:
        for of in runs:
            if of.label == arm and of.name in sources and (folder := checkpoint_folder(*sources[of.name], storage)):
                yield f"{arm}, seed {of.seed}" if arm else of.name, (folder, sources[of.name][1].id)
                break
