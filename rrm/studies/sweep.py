"""A sweep from puzzles to figures: the main job of the platform."""

import itertools
import math
import time
from argparse import Namespace
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rrm.cluster.capacity import Request, trials_at_once
from rrm.cluster.phase import Training
from rrm.cluster.search import BaselinesFirst, searcher
from rrm.cluster.session import ray_session, stop_on_signals
from rrm.cluster.trial import Job
from rrm.errors import InputError
from rrm.jobs.data import DataKeys, load_data
from rrm.jobs.folder import JobFolder, puzzles_file
from rrm.jobs.grid import NONE
from rrm.jobs.naming import config_columns, trial_name
from rrm.jobs.recipes import Recipes
from rrm.jobs.record import TrialRecord, choose
from rrm.jobs.spec import Config, Preset, SweepSpec
from rrm.models import VARIANTS
from rrm.probes import PRESETS
from rrm.studies.checks import (
    LOOKED_AT,
    check_recipes,
    check_unchanged,
    fixed_configurations,
    possible_configurations,
)
from rrm.studies.estimate import say_expected
from rrm.studies.stages import describe, stages_of
from rrm.studies.sweep_run import SweepRun
from rrm.tasks import get_task
from rrm.tasks.splits import Splits, cells_of
from rrm.terminal.table import table
from rrm.tracking import Tracker, announce, check_store, git_commit, tracking_uri
from rrm.training.recipe import Recipe

# Options that may differ between a sweep and its resumption.
FREE = ("resume", "dry_run", "verbose", "storage", "name", "address", "tracking_uri")


def run_sweep(spec: SweepSpec, args: Namespace) -> None:
    """Run or resume the sweep that `args` describe and print its report; InputError before anything starts."""
    began = time.monotonic()
    stop_on_signals()
    if unknown := [model for model in args.model if model not in (*VARIANTS, *spec.models)]:
        raise InputError(f"model {unknown[0]!r} is unknown: use one of {', '.join(VARIANTS)}")
    spec = probed(spec, args)
    preset = spec.presets[args.preset]
    given = {name: getattr(args, name, None) for name in ("trials", "seeds", "steps", "evaluations")}
    preset = replace(preset, **{name: value for name, value in given.items() if value})
    storage = Path(args.storage).resolve()
    folder = JobFolder(storage / args.name, "sweep")
    folder.check(args.resume)
    if (known := folder.read("sweep")) and "preset" in known:
        # The preset of the start counts, not its present content: all trials of a sweep have one budget.
        preset = replace(preset, **{name: _value(value) for name, value in known["preset"].items()})
    elif preset.quick and args.data and preset.task:
        preset = preset.fitted(get_task(preset.task).seq_len, cells_of(args.data), bool(spec.tiers))
    stages = stages_of(spec)
    uri = tracking_uri(args.tracking_uri, storage)
    announce(uri)
    check_store(uri, spec.name, storage / "artifacts")
    tracker = Tracker(uri, spec.name, args.name, storage / "artifacts", kind="sweep")

    if args.resume:
        tracker.refuse_deleted()

    keys, splits = _load_data(spec, args, preset, storage / "puzzles")
    recipes = Recipes.of_spec(spec, folder.path, preset, keys)
    check_recipes(spec, args, preset, recipes, splits)
    fixed = fixed_configurations(spec, args.model, preset, args.seed)
    count = _trials(spec, args, preset, len(fixed))
    numbered = [{"trial": number} | config for number, config in enumerate(fixed)]
    check_unchanged(recipes, numbered, lambda config: len(fixed) <= config["trial"] < count)
    if getattr(args, "dry_run", False):
        chosen = f", {count - len(fixed)} of them chosen by the search" if count > len(fixed) else ""
        print("\n".join([*table(_planned(numbered)), f"{count} trials{chosen}"]))
        return
    tracker.connect()
    _print_data(args, splits)

    with ray_session(args.address, args.workers_per_trial, args.verbose) as resources:
        gpu = 1.0 if resources.get("GPU") else 0.0
        request = Request(workers=args.workers_per_trial, gpus=gpu)
        at_once = trials_at_once(request, resources)
        print(f"cluster   {resources.get('CPU', 0):g} CPU, {resources.get('GPU', 0):g} GPU: "
              f"{at_once} trials at once, each {request}")  # fmt: skip
        with folder.claim(), tracker:
            folder.start(
                {
                    "spec": spec.name,
                    "arguments": {name: value for name, value in vars(args).items() if name not in FREE},
                    "preset": asdict(preset),
                    "data_hash": keys.content_hash,
                    "git_commit": git_commit(Path(__file__).parent),
                }
            )
            run = SweepRun(
                spec, args, preset, folder.known(), folder, tracker, splits, recipes, resources, request, at_once
            )
            _open(run)
            try:
                if not args.resume:
                    say_expected(run, fixed, count)
                _train(run, fixed, count)
                for stage in stages:
                    stage(run)
                _finish(run, began)
            except BaseException as error:
                tracker.close_open_runs("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
                raise


def _planned(numbered: list[Config]) -> list[dict[str, str]]:
    """Rows of a table: the trials that are known before training."""
    rows = [{"trial": trial_name(config), **config_columns(config)} for config in numbered]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return [{name: row.get(name, "") for name in columns} for row in rows]


def probed(spec: SweepSpec, args: Namespace) -> SweepSpec:
    """The sweep with its probes, or those of the command line, in every recipe."""
    names = getattr(args, "probes", None) or []
    if names == [NONE] or not (names or spec.probes):
        return spec
    settings = dict(spec.probes)
    if names:
        settings = {"preset": names[0]} if len(names) == 1 and names[0] in PRESETS else {"names": names}
    asked = {"every": args.probe_every, "budget": args.probe_budget}
    settings |= {name: value for name, value in asked.items() if value is not None}

    def recipe(*of: Any) -> Recipe:
        made = spec.recipe(*of)
        return replace(made, hooks=made.hooks | {"probes": settings})

    return replace(spec, recipe=recipe)


def _value(read: Any) -> Any:
    return tuple(read) if isinstance(read, list) else read


def _load_data(spec: SweepSpec, args: Namespace, preset: Preset, cache: Path) -> tuple[DataKeys, dict[str, Splits]]:
    """The sets of puzzles that configurations ask for."""
    # Without `data` all configurations have the preset's set, so none has to be drawn to find others.
    configs: Iterable[Config] = possible_configurations(spec, args, preset, LOOKED_AT) if spec.data else [{}]
    wanted = (spec.data_of(config, preset) for config in configs)
    return load_data(spec.name, wanted, args.data, args.seed, cache)


def _trials(spec: SweepSpec, args: Namespace, preset: Preset, fixed: int) -> int:
    """How many trials the search or grid has."""
    # `--sigma 0` asks for baselines only.
    nothing = spec.space is None or (args.sigma and not any(args.sigma))
    return fixed if nothing else max(preset.trials, fixed)


def _print_data(args: Namespace, splits: dict[str, Splits]) -> None:
    for key, data in splits.items():
        sizes = f"{len(data.train)} train, {len(data.validation)} validation, {len(data.test)} test"
        print(f"puzzles   {key or data.test.task}: {sizes}")
        if data.repeated:
            print(f"distinct  {data.repeated} rows of {args.data} repeat an earlier one and were passed over")


def _open(run: SweepRun) -> None:
    """The run of the sweep in MLflow, with the puzzles that its trials see, and the test puzzles in its folder."""
    tags = {"mlflow.source.git.commit": run.record["git_commit"], "rrm.data_hash": run.record["data_hash"]}
    run.parent = run.tracker.run("sweep", run.args.name, run.record["arguments"], tags)
    run.tracker.reopen(run.parent)
    for key, data in run.splits.items():
        data.test.save(run.folder.path / puzzles_file(key))
        for context in ("train", "validation", "test"):
            digest = getattr(data, context).content_hash()
            run.tracker.dataset(run.parent, key or data.test.task, digest, run.args.data or "generated", context)


def _train(run: SweepRun, fixed: list[Config], count: int) -> None:
    """Train the trials that are not trained yet."""
    spec, args, folder = run.spec, run.args, run.folder
    written = folder.read("trials") or {}
    known = {phase: [TrialRecord.from_dict(trial) for trial in trials] for phase, trials in written.items()}
    job = Job(run.recipes, run.request, str(folder.path / "train"), run.objectives)
    training = Training(job, describe(run), run.splits, folder, run.tracker, run.at_once, args.verbose, spec.score)
    if "searched" not in known:
        drawing = searcher(spec, fixed, args.model, args.sigma, args.seed, list(run.objectives.values()))
        known["searched"] = training.run("tune", drawing, count, fixed=len(fixed))
        _write(folder, known)
    if "repeated" not in known:
        again = repetitions(known["searched"], run.preset.seeds, args.seed, spec.learns)
        check_unchanged(run.recipes, again, lambda config: len(fixed) <= config["trial"] < count)
        drawing = BaselinesFirst(None, again, args.seed)
        known["repeated"] = training.run("tune-repeated", drawing, len(again), fixed=math.inf) if again else []
        _write(folder, known)
    run.searched, run.repeated = known["searched"], known["repeated"]
    if not run.chosen_from:
        raise RuntimeError("no trial reached its first evaluation: --verbose shows what the workers print")


def _write(folder: JobFolder, known: dict[str, list[TrialRecord]]) -> None:
    folder.write("trials", {phase: [trial.to_dict() for trial in trials] for phase, trials in known.items()})


def repetitions(searched: list[TrialRecord], seeds: int, seed: int, learns: float) -> list[Config]:
    """The configurations that are trained again: of every model type that learns, its baseline and its best drawn one.

    The run by which a configuration won is partly lucky, so it does not count in the comparison. A model type learns if
    one of the two has at least the score `learns`. Seeds follow each other, so that an interrupted comparison has whole
    pairs.
    """
    trained = [trial for trial in searched if trial.checkpoint]
    again: list[Config] = []
    for group in dict.fromkeys(trial.group for trial in trained):
        drawn = [trial for trial in trained if trial.drawn and trial.group == group]
        baselines = [trial for trial in trained if trial.arm.baseline and trial.group == group]
        pair = [*baselines[:1], choose(drawn)] if drawn else []
        if any(trial.rank[0] >= learns for trial in pair):
            again += [{name: value for name, value in trial.config.items() if name != "trial"} for trial in pair]
    numbers = itertools.count(len(searched))
    return [config | {"seed": seed + more, "trial": next(numbers)} for more in range(1, seeds + 1) for config in again]


def _finish(run: SweepRun, began: float) -> None:
    """Print and log the wall time, and close the sweep's run."""
    if not run.args.resume:
        work = run.work_s + run.request.workers * sum(sum(trial.seconds.values()) for trial in run.everyone)
        wall, slots = time.monotonic() - began, run.at_once * run.request.workers
        overhead = 1 - work / (wall * slots)
        print(f"\nwall time {wall:.0f} s on {slots} slots, {work:.0f} s of it work: {overhead:.0%} overhead")
        times = {"time/wall_s": wall, "time/work_s": work, "time/overhead": overhead}
        run.tracker.summary(run.parent, times)
    run.tracker.finish(run.parent, "FINISHED")
