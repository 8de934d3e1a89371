"""A sweep from puzzles to figures: the main job of the platform."""

import signal
import time
from argparse import Namespace
from dataclasses import asdict, replace
from pathlib import Path

from rrm.cluster import report
from rrm.cluster.folder import TEST_PUZZLES, JobFolder
from rrm.cluster.session import Request, ray_session, trials_at_once
from rrm.cluster.spec import Preset, SweepSpec
from rrm.errors import InputError
from rrm.models import VARIANTS, build
from rrm.tasks import get_task
from rrm.tasks.splits import Splits, generate_splits, read_splits
from rrm.tracking import Tracker, default_uri, git_commit

# Options that may differ between a sweep and its resumption.
FREE = ("resume", "verbose", "storage", "name", "address", "tracking_uri")


def run_sweep(spec: SweepSpec, args: Namespace) -> None:
    """Run or resume the sweep that `args` describe and print its report; InputError before anything starts."""
    began = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    if unknown := [model for model in args.model if model not in VARIANTS]:
        raise InputError(f"model {unknown[0]!r} is unknown: use one of {', '.join(VARIANTS)}")
    preset = spec.presets[args.preset]
    preset = replace(preset, trials=args.trials or preset.trials)
    storage = Path(args.storage).resolve()
    folder = JobFolder(storage / args.name, "sweep")
    folder.check(args.resume)
    tracker = Tracker(args.tracking_uri or default_uri(storage), spec.name, args.name, storage / "artifacts")

    splits = _splits(args, preset, storage / "puzzles")
    data_hash = splits.content_hash()
    _check_recipes(spec, args, preset, splits)
    test = splits.test
    print(f"puzzles   {test.task}: {len(splits.train)} train, {len(splits.validation)} validation, {len(test)} test")

    with ray_session(args.address, args.workers_per_trial, args.verbose) as resources:
        gpu = 1.0 if resources.get("GPU") else 0.0
        request = Request(workers=args.workers_per_trial, gpus=gpu)
        at_once = trials_at_once(request, resources)
        print(f"cluster   {resources.get('CPU', 0):g} CPU, {resources.get('GPU', 0):g} GPU: "
              f"{at_once} trials at once, each {request}")  # fmt: skip
        with folder.claim():
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
    known = folder.read("trials")
    if known is None:
        known = {"trials": _train(spec, args, preset, splits, folder, record, tracker, request, at_once)}
        folder.write("trials", known)
    trials = [t for t in known["trials"] if t["checkpoint"]]
    if not trials:
        raise RuntimeError("no trial reached its first evaluation: --verbose shows what the workers print")

    analysis = Request(gpus=request.gpus / 4)
    scores = report.score_trials(folder, trials, splits, resources, analysis)
    best = report.choose(trials)
    measured = report.choose_measured(trials, scores, len(splits.test))
    provenance = report.provenance(tracker, record)
    results, work = report.measure_trials(folder, measured, splits, provenance, resources, analysis)
    outcome = report.panels(measured, results)
    arms = report.points(trials, scores, len(splits.test))
    figures = report.draw(folder, outcome, arms)
    sentences = [*report.findings(outcome, results, arms, best), spec.matching]
    report.log_report(tracker, folder, trials, scores, outcome, measured, figures, sentences, best, len(splits.test))

    work += request.workers * sum(sum(t["seconds"].values()) for t in known["trials"])
    work += sum(score["seconds"] for weights in folder.read("scores").values() for score in weights.values())
    _print_report(folder, known["trials"], trials, scores, best, sentences, figures, tracker)
    wall = time.monotonic() - began
    slots = at_once * request.workers
    parent = tracker.run("sweep", tracker.job)
    if not args.resume:
        overhead = 1 - work / (wall * slots)
        print(f"\nwall time {wall:.0f} s on {slots} slots, {work:.0f} s of it work: {overhead:.0%} overhead")
        tracker.summary(parent, {"time/wall_s": wall, "time/work_s": work, "time/overhead": overhead})
    tracker.finish(parent, "FINISHED")


def _splits(args: Namespace, preset: Preset, cache: Path) -> Splits:
    sizes = (preset.train, preset.validation, preset.test)
    if args.data:
        return read_splits(args.data, sizes, args.seed, cache)
    return generate_splits(preset.task, sizes, args.seed, preset.givens, cache)


def _check_recipes(spec: SweepSpec, args: Namespace, preset: Preset, splits: Splits) -> None:
    """Build every model once, so that a recipe that cannot run is refused before anything starts."""
    task = get_task(splits.train.task)
    for config in spec.baselines(args.model):
        for sigma in (0.0, *(args.sigma or [1.0])):
            recipe = spec.recipe(config | {"sigma": sigma}, task, preset, args.seed)
            recipe.steps(build(recipe.model), trajectories=1)


def _tags(record: dict) -> dict[str, str]:
    return {"mlflow.source.git.commit": record["git_commit"], "rrm.data_hash": record["data_hash"]}


def _train(spec, args, preset, splits, folder, record, tracker, request, at_once) -> list[dict]:
    """Run the trials with Tune; -> plain records of them."""
    from ray import tune
    from ray.tune.logger import JsonLoggerCallback

    from rrm.cluster.callbacks import TableCallback, TrackingCallback, trial_name
    from rrm.cluster.search import scheduler, searcher
    from rrm.cluster.trial import COORDINATOR_CPU, Job, train_trial

    job = Job(spec.recipe, preset, args.seed, record["data_hash"], request, str(folder.path / "train"))
    mine = {"cpu": request.cpus, "gpu": request.gpus} if request.workers == 1 else {"cpu": COORDINATOR_CPU}
    trainable = tune.with_resources(tune.with_parameters(train_trial, job=job, splits=splits), mine)
    path = folder.path / "tune"
    # Without a state file the driver died before Tune knew any trial: there is nothing to restore.
    if path.exists() and any(path.glob("experiment_state-*.json")):
        tuner = tune.Tuner.restore(str(path), trainable=trainable, resume_unfinished=True, resume_errored=True)
    else:
        task = get_task(splits.train.task)

        def describe(config: dict) -> tuple[dict, dict]:
            recipe = spec.recipe(config, task, preset, args.seed).to_dict()
            tags = {"rrm.model": config["model"], "rrm.sigma": config["sigma"], "rrm.flossing": config["flossing"]}
            return config | {"recipe": recipe}, {k: str(v) for k, v in tags.items()} | _tags(record)

        trials = preset.trials
        if args.sigma and not any(args.sigma):
            trials = min(trials, len(args.model))  # only baselines were asked for
        tuner = tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                num_samples=max(trials, len(args.model)),
                max_concurrent_trials=at_once,
                search_alg=searcher(spec, args.model, args.sigma, args.seed),
                scheduler=scheduler(preset.evaluations),
                # A trial that waits for DDP workers cannot be reset for another.
                reuse_actors=request.workers == 1,
                trial_dirname_creator=lambda trial: trial_name(trial.config),
            ),
            run_config=tune.RunConfig(
                name="tune",
                storage_path=str(folder.path),
                verbose=1 if args.verbose else 0,
                callbacks=[
                    JsonLoggerCallback(),  # the result.json from which the scheduler is restored
                    TrackingCallback(tracker, describe),
                    TableCallback(max(trials, len(args.model)), preset.evaluations),
                ],
                checkpoint_config=tune.CheckpointConfig(num_to_keep=1),
                failure_config=tune.FailureConfig(max_failures=1),
            ),
        )
    grid = tuner.fit()
    records = [_record(result, preset) for result in grid]
    if any(not t["failed"] and t["evaluation"] < preset.evaluations and not t["stopped_early"] for t in records):
        raise KeyboardInterrupt
    for t in records:
        if t["failed"]:
            print(f"{t['name']} failed: {t['failed']}")
    return sorted(records, key=lambda t: t["name"])


def _record(result, preset: Preset) -> dict:
    from rrm.cluster.callbacks import trial_name
    from rrm.training.checkpoint import read_meta

    metrics = result.metrics or {}
    folder = result.checkpoint.path if result.checkpoint else metrics.get("checkpoint_path")
    record = {
        "name": trial_name(result.config),
        "config": result.config,
        "failed": str(result.error).strip().splitlines()[-1] if result.error else "",
        "checkpoint": folder,
        "evaluation": metrics.get("evaluation", 0),
        "stopped_early": bool(metrics.get("done")) and 0 < metrics.get("evaluation", 0) < preset.evaluations,
        "seconds": {"train": 0.0, "evaluate": 0.0},
    }
    if folder:
        meta = read_meta(Path(folder))
        record |= {key: meta[key] for key in ("best", "final", "seconds")}
    return record


def _print_report(folder, everyone, trials, scores, best, sentences, figures, tracker) -> None:
    print("\n" + "\n".join(report.summary_table(trials, scores)))
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
