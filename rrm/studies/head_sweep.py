"""The heads of a whole sweep: for every seed a study of its baseline against all other arms, then all seeds."""

import time
from argparse import Namespace
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from rrm.cluster.session import ray_session, stop_on_signals
from rrm.errors import InputError
from rrm.jobs.folder import JobFolder
from rrm.jobs.heads import OTHER_ORDER, RANDOM_LABELS
from rrm.reports.head_seeds import SweptHeads, report
from rrm.statistics.head_seeds import SEEDS, save_measures
from rrm.studies import heads, token_heads
from rrm.studies.publish import publish
from rrm.terminal.progress import duration
from rrm.tracking import Tracker, announce, check_store, git_commit, tracking_uri
from rrm.tracking.reader import Run
from rrm.tracking.store_reader import StoreReader

EXPERIMENT = "heads"
# A number that every finished study of this version has.
_LATEST = "heads/accuracy_of/initial"


def run_study(args: Namespace) -> None:
    """Run or resume the study of one training, or of all seeds of a sweep; InputError before anything starts."""
    if args.sweep is None:
        (token_heads if token_heads.is_of_tokens(args) else heads).run_study(args)
        return
    began = time.monotonic()
    stop_on_signals()
    storage = Path(args.storage).resolve()
    uri = tracking_uri(args.tracking_uri, storage)
    announce(uri)
    check_store(uri, EXPERIMENT, storage / "artifacts")
    reader = StoreReader(uri, storage / "downloads", storage)
    sweep, arms = _trainings(reader, args)
    model = next(iter(arms.values()))[_BASELINE].tags.get("rrm.model", "")
    args.name = args.name or f"heads-{sweep.group}-{model}"
    folder = JobFolder(storage / args.name, "study")
    folder.check(args.resume)
    tracker = Tracker(uri, EXPERIMENT, args.name, storage / "artifacts")
    tracker.connect()
    if args.resume:
        tracker.refuse_deleted()
    with folder.claim(), tracker, ExitStack() as stack:
        kept = {name: getattr(args, name) for name in ("model", "weights", "count", "segments", "draws", "seed")}
        ids = {f"{seed}/{arm}": run.id for seed, of in arms.items() for arm, run in of.items()}
        folder.start({"arguments": kept | {"sweep": sweep.id, "runs": ids}, "data_hash": "none",
                      "kind": tracker.kind, "git_commit": git_commit(Path(__file__).parent)})  # fmt: skip
        told = kept | {"model": model, "sweep": sweep.group}
        run = tracker.run("study", args.name, {name: str(value) for name, value in told.items()})
        tracker.reopen(run)
        found, studies = {}, {}
        to_run = [seed for seed in arms if not _finished(reader, args, seed)]
        if to_run:
            stack.enter_context(ray_session(args.address, 1, args.verbose, args.gpus))
        for number, seed in enumerate(arms):
            if seed in to_run:
                _study(args, seed, arms[seed], len(to_run) if seed == to_run[0] else 0)
                left = len([other for other in to_run if other > seed])
                pace = (time.monotonic() - began) / (to_run.index(seed) + 1)
                print(f"\nseed {seed} is done, {number + 1} of {len(arms)}; about {duration(left * pace)} left")
            done = _finished(StoreReader(uri, storage / "downloads", storage), args, seed)
            if done is None:
                raise InputError(f"the study of seed {seed} has not come to the store yet: add --resume to carry on")
            found[seed], studies[seed] = {name.removeprefix("heads/"): v for name, v in done.metrics.items()}, done
        swept = SweptHeads(f"{model} of {sweep.group}", found, _others(arms))
        said = report(swept)
        save_measures(swept.measures, folder.path / SEEDS)
        (folder.path / "tables.txt").write_text(said.text + "\n", encoding="utf-8")
        said.files |= dict.fromkeys(("tables.txt", "study.json", SEEDS), "")
        said.tags |= {"rrm.source_run": " ".join(of[_BASELINE].id for of in arms.values()),
                      "rrm.studies": " ".join(study.id for study in studies.values())}  # fmt: skip
        said.places = [f"studies   {', '.join(study.name for study in studies.values())}",
                       "page      python -m rrm explore, tab Heads"]  # fmt: skip
        publish(said, folder, tracker, run)
        tracker.finish(run, "FINISHED")
    print(f"\nwall time {time.monotonic() - began:.0f} s")


_BASELINE = "baseline of the sweep"


def _trainings(reader: StoreReader, args: Namespace) -> tuple[Run, dict[int, dict[str, Run]]]:
    """The sweep, and by seed and arm its trainings; that of the baseline is named so."""
    groups = {group.name: group for group in reader.groups()}
    sweep = reader.run(groups[args.sweep].run_id if args.sweep in groups else args.sweep)
    if sweep.parent is not None or sweep.group not in groups:
        raise InputError(f"run {args.sweep} is no sweep: give the run of a sweep, or its name, or this run by --run")
    trials = [run for run in reader.runs(groups[sweep.group]) if run.role == "trial" and "rrm.arm" in run.tags]
    models = dict.fromkeys(run.tags["rrm.model"] for run in trials)
    if args.model not in (None, *models):
        raise InputError(f"{sweep.group} has no trained {args.model}: use one of {', '.join(models)}")
    if args.model is None and len(models) > 1:
        raise InputError(f"{sweep.group} has several model types: choose one of {', '.join(models)} by --model")
    found: dict[int, dict[str, Run]] = {}
    for run in sorted(trials, key=lambda run: int(run.tags["rrm.seed"])):
        if args.model in (None, run.tags["rrm.model"]) and run.status == "FINISHED":
            arm = _BASELINE if run.tags.get("rrm.baseline") == "True" else run.tags["rrm.arm"]
            found.setdefault(int(run.tags["rrm.seed"]), {})[arm] = run
    whole = {seed: of for seed, of in found.items() if _BASELINE in of}
    if not whole:
        raise InputError(f"{sweep.group} has no finished baseline: give a sweep whose arms have one")
    return sweep, whole


def _others(arms: Mapping[int, Mapping[str, Run]]) -> list[str]:
    """The arms beside the baseline and its controls."""
    every = dict.fromkeys(arm for of in arms.values() for arm in of)
    return [arm for arm in every if arm not in (_BASELINE, OTHER_ORDER, RANDOM_LABELS)]


def _name(args: Namespace, seed: int) -> str:
    return f"{args.name}-seed-{seed}"


def _finished(reader: StoreReader, args: Namespace, seed: int) -> Run | None:
    """The run of a seed's study that is finished and has all numbers; None without one."""
    if not (Path(args.storage) / _name(args, seed)).is_dir():
        return None
    group = next((group for group in reader.groups() if group.name == _name(args, seed)), None)
    if group is None or group.status != "FINISHED":
        return None
    run = reader.run(group.run_id)
    return run if _LATEST in run.metrics else None


def _study(args: Namespace, seed: int, arms: Mapping[str, Run], studies: int) -> None:
    """The study of the baseline of a seed against all of its other arms."""
    begun = JobFolder(Path(args.storage).resolve() / _name(args, seed), "study")
    plain = vars(args) | {
        "sweep": None, "model": None, "run": arms[_BASELINE].id, "arms": _others({seed: arms}),
        "name": _name(args, seed), "resume": begun.path.exists(),
    }  # fmt: skip
    heads.run_study(Namespace(**plain), studies)
