"""A sweep from puzzles to figures: the main job of the platform."""

import itertools
import math
import time
from argparse import Namespace
from dataclasses import asdict, replace
from pathlib import Path

import torch

from rrm.cluster.phase import Description, Training
from rrm.cluster.scoring import read_outcomes, score_trials
from rrm.cluster.search import BaselinesFirst, sampled, searcher
from rrm.cluster.session import Request, ray_session, stop_on_signals, trials_at_once
from rrm.cluster.trial import Job
from rrm.errors import InputError
from rrm.jobs.folder import TEST_PUZZLES, JobFolder
from rrm.jobs.spec import Preset, SweepSpec
from rrm.models import VARIANTS, build
from rrm.reports.perturbation import choose, draw, findings, is_baseline, panels, points, summary_table
from rrm.reports.search import search_findings
from rrm.statistics.arms import arm_table, compare_arms
from rrm.studies.measured import choose_measured, measure_trials, provenance
from rrm.studies.publish import log_report
from rrm.studies.sources import check_fit
from rrm.tasks import get_task
from rrm.tasks.splits import Splits, generate_splits, puzzles_needed, read_splits
from rrm.terminal.table import table
from rrm.tracking import Tracker, announce, check_store, git_commit, tracking_uri
from rrm.training.stream import TrainStream

# Options that may differ between a sweep and its resumption.
FREE = ("resume", "verbose", "storage", "name", "address", "tracking_uri")


def run_sweep(spec: SweepSpec, args: Namespace) -> None:
    """Run or resume the sweep that `args` describe and print its report; InputError before anything starts."""
    began = time.monotonic()
    stop_on_signals()
    if unknown := [model for model in args.model if model not in VARIANTS]:
        raise InputError(f"model {unknown[0]!r} is unknown: use one of {', '.join(VARIANTS)}")
    preset = spec.presets[args.preset]
    preset = replace(preset, trials=args.trials or preset.trials, seeds=args.seeds or preset.seeds)
    storage = Path(args.storage).resolve()
    folder = JobFolder(storage / args.name, "sweep")
    folder.check(args.resume)
    if (known := folder.read("sweep")) and "preset" in known:
        # What it was begun with, whatever the preset of this name says now: trials of one sweep have one budget.
        preset = replace(preset, **{name: _value(value) for name, value in known["preset"].items()})
    uri = tracking_uri(args.tracking_uri, storage)
    announce(uri)
    check_store(uri, spec.name, storage / "artifacts")
    tracker = Tracker(uri, spec.name, args.name, storage / "artifacts")

    if args.resume:
        tracker.refuse_deleted()

    splits = _splits(args, preset, storage / "puzzles")
    data_hash = splits.content_hash()
    _check_recipes(spec, args, preset, splits)
    tracker.connect()
    test = splits.test
    print(f"puzzles   {test.task}: {len(splits.train)} train, {len(splits.validation)} validation, {len(test)} test")
    if splits.repeated:
        print(f"distinct  {splits.repeated} rows of {args.data} repeat an earlier one and were passed over")

    with ray_session(args.address, args.workers_per_trial, args.verbose) as resources:
        gpu = 1.0 if resources.get("GPU") else 0.0
        request = Request(workers=args.workers_per_trial, gpus=gpu)
        at_once = trials_at_once(request, resources)
        print(f"cluster   {resources.get('CPU', 0):g} CPU, {resources.get('GPU', 0):g} GPU: "
              f"{at_once} trials at once, each {request}")  # fmt: skip
        with folder.claim(), tracker:
            record = {
                "spec": spec.name,
                "arguments": {name: value for name, value in vars(args).items() if name not in FREE},
                "preset": asdict(preset),
                "data_hash": data_hash,
                "git_commit": git_commit(Path(__file__).parent),
            }
            folder.start(record)
            record = folder.read("sweep")
            test.save(folder.path / TEST_PUZZLES)
            parent = tracker.run("sweep", args.name, record["arguments"], _tags(record))
            tracker.reopen(parent)
            for context in ("train", "validation", "test"):
                part = getattr(splits, context)
                tracker.dataset(parent, test.task, part.content_hash(), args.data or "generated", context)
            try:
                _run_stages(spec, args, preset, splits, folder, record, tracker, resources, request, at_once, began)
            except BaseException as error:
                tracker.close_open_runs("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
                raise


def _run_stages(spec, args, preset, splits, folder, record, tracker, resources, request, at_once, began) -> None:
    job = Job(
        spec.recipe, preset, record["data_hash"], request, str(folder.path / "train"), tuple(args.objectives),
        spec.arm, spec.baseline,
    )  # fmt: skip
    describe = Description(job, get_task(splits.train.task), _tags(record))
    known = _train(spec, args, splits, folder, tracker, describe, at_once)
    everyone = known["searched"] + known["repeated"]
    trials = [t for t in everyone if t["checkpoint"]]
    searched = [t for t in known["searched"] if t["checkpoint"]]
    if not searched:
        raise RuntimeError("no trial reached its first evaluation: --verbose shows what the workers print")

    analysis = Request(gpus=request.gpus / 4)
    scores = score_trials(folder, trials, splits, resources, analysis)
    best = choose(searched)
    measured = choose_measured(searched, scores, len(splits.test))
    names = provenance(tracker, record)
    results, work = measure_trials(folder, measured, splits, names, resources, analysis)
    outcome = panels(measured, results)
    arms = points(trials, scores, len(splits.test), read_outcomes(folder))
    compared = compare_arms(arms)
    search = search_findings(searched, args.objectives, args.seed)
    figures = draw(folder, outcome, arms, compared, search)
    sentences = [*findings(outcome, results, arms, compared, best), *(search.sentences if search else [])]
    sentences.append(spec.matching)
    log_report(
        tracker, folder, trials, scores, outcome, measured, figures, sentences, compared, search, best, describe
    )

    work += request.workers * sum(sum(t["seconds"].values()) for t in everyone)
    work += sum(score["seconds"] for weights in folder.read("scores").values() for score in weights.values())
    _print_report(folder, everyone, trials, scores, compared, best, sentences, figures, tracker)
    wall = time.monotonic() - began
    slots = at_once * request.workers
    parent = tracker.run("sweep", tracker.job)
    if not args.resume:
        overhead = 1 - work / (wall * slots)
        print(f"\nwall time {wall:.0f} s on {slots} slots, {work:.0f} s of it work: {overhead:.0%} overhead")
        tracker.summary(parent, {"time/wall_s": wall, "time/work_s": work, "time/overhead": overhead})
    tracker.finish(parent, "FINISHED")


def _train(spec, args, splits, folder, tracker, describe, at_once) -> dict[str, list[dict]]:
    """Train what is not trained yet; -> records of the trials, {"searched": [...], "repeated": [...]}."""
    known = {phase: [_with_flag(t) for t in trials] for phase, trials in (folder.read("trials") or {}).items()}
    preset = describe.job.preset
    training = Training(describe, splits, folder, tracker, at_once, args.verbose)
    if "searched" not in known:
        fixed = fixed_configurations(spec, args.model, preset, args.seed)
        drawing = searcher(spec, fixed, args.model, args.sigma, args.seed, args.objectives)
        # Where --sigma names 0 alone, only baselines were asked for.
        nothing = spec.space is None or (args.sigma and not any(args.sigma))
        count = len(fixed) if nothing else max(preset.trials, len(fixed))
        known["searched"] = training.run("tune", drawing, count, fixed=len(fixed))
        folder.write("trials", known)
    if "repeated" not in known:
        again = repetitions(known["searched"], preset.seeds, args.seed)
        drawing = BaselinesFirst(None, again, args.seed)
        known["repeated"] = training.run("tune-repeated", drawing, len(again), fixed=math.inf) if again else []
        folder.write("trials", known)
    return known


def _with_flag(trial: dict) -> dict:
    """A record as it is written now: rrm once kept the settings of an arm without saying which one is the baseline."""
    arm = trial["arm"]
    if "baseline" in arm:
        return trial
    settings = {name: value for name, value in arm.items() if name != "arm"}
    plain = settings["kind"] == settings["flossing"] == "none"
    return trial | {"arm": {"arm": arm["arm"], "baseline": plain, "settings": settings}}


def fixed_configurations(spec: SweepSpec, models: list[str], preset: Preset, seed: int) -> list[dict]:
    """What is trained whatever the search finds: on one seed before a search, else on every seed, seed by seed."""
    seeds = 1 if spec.space else preset.seeds
    return [config | {"seed": seed + more} for more in range(seeds) for config in spec.fixed(models)]


def repetitions(searched: list[dict], seeds: int, seed: int) -> list[dict]:
    """The configurations that are trained again: the best drawn one and its baseline, each on fresh seeds.

    The run that made a configuration the best one is partly lucky, so it does not count in the comparison.
    """
    drawn = [t for t in searched if t["checkpoint"] and t["drawn"]]
    if not drawn:
        return []
    best = choose(drawn)
    same = [t for t in searched if is_baseline(t) and t["config"]["model"] == best["config"]["model"]]
    pair = [{k: v for k, v in t["config"].items() if k != "trial"} for t in (same[0], best)]
    numbers = itertools.count(len(searched))
    return [config | {"seed": seed + more, "trial": next(numbers)} for more in range(1, seeds + 1) for config in pair]


def _value(read: object) -> object:
    return tuple(read) if isinstance(read, list) else read


def _splits(args: Namespace, preset: Preset, cache: Path) -> Splits:
    sizes = (preset.train, preset.validation, preset.test)
    if args.data:
        return read_splits(args.data, sizes, args.seed, cache)
    return generate_splits(preset.task, sizes, args.seed, preset.givens, cache)


def _check_recipes(spec: SweepSpec, args: Namespace, preset: Preset, splits: Splits) -> None:
    """Build every kind of model and recipe once, so that one that cannot run is refused before anything starts.

    Arms are compared by name, so that two of one name which train differently are refused, too.
    """
    task = get_task(splits.train.task)
    configs, named = fixed_configurations(spec, args.model, preset, args.seed), {}
    job = Job(spec.recipe, preset, "", Request(), "", arm=spec.arm, baseline=spec.baseline)
    for config in configs + sampled(spec, args.model, args.sigma, args.seed):
        made = spec.recipe(config, task, preset, args.seed)
        name = config["model"], job.arm_of(config, made)["arm"]
        if named.setdefault(name, made) != made:
            raise InputError(
                f"two configurations of {name[0]} that train differently are both called {name[1]!r}: give the sweep "
                f"{spec.name} an arm(config, recipe) that tells them apart, or its configurations an 'arm'"
            )
        if args.data and len(splits.train) < made.batch_size:
            needed = puzzles_needed(args.data, (preset.train, preset.validation, preset.test), made.batch_size)
            raise InputError(
                f"--data {args.data} leaves {len(splits.train)} puzzles for training, and a step takes "
                f"{made.batch_size}: give a file with at least {needed} distinct puzzles"
            )
        TrainStream(splits.train, task, made.batch_size, args.seed, world=args.workers_per_trial)
        made.share(args.workers_per_trial)
        with torch.device("meta"):
            model = build(made.model)
        for part in (splits.train, splits.validation, splits.test):
            check_fit(model, part)
        made.steps(model)
    if lacking := [model for model in args.model if (model, spec.baseline) not in named]:
        raise InputError(
            f"the sweep {spec.name} has no arm called {spec.baseline!r} for {lacking[0]}, and every other is compared "
            "with it: add one to fixed(models), or name another as baseline"
        )


def _tags(record: dict) -> dict[str, str]:
    return {"mlflow.source.git.commit": record["git_commit"], "rrm.data_hash": record["data_hash"]}


def _print_report(folder, everyone, trials, scores, compared, best, sentences, figures, tracker) -> None:
    print("\n" + "\n".join(summary_table(trials, scores)))
    if compared:
        print("\narms, over seeds; each 95 % interval by itself, without correction for the others")
        print("  " + "\n  ".join(table(arm_table(compared))))
    lost = [t["name"] for t in everyone if not t["checkpoint"]]
    if lost:
        print(f"without a checkpoint: {', '.join(lost)}")
    config = ", ".join(f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}"
                       for key, value in best["config"].items() if key != "trial")  # fmt: skip
    test = scores[best["name"]]["best"]["exact"]
    print(f"\nbest      {best['name']}: {config}; exact {best['best']['exact']:.1%} on validation, {test:.1%} on test")
    print("\nfound")
    for sentence in sentences:
        print(f"  {sentence}")
    print("\nfigures")
    for figure in figures:
        print(f"  {figure}")
    command, link = tracker.ui()
    print(f"\nresults   {folder.path}\nMLflow    {command}\n          {link}")
    of_sweep, of_best = tracker.run("sweep", tracker.job), tracker.run("trial", best["name"])
    print(f"RUN_ID    {of_sweep} of the sweep, {of_best} of its best trial")
