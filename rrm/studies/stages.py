"""The stages of a sweep after training. A new stage is a function of a `SweepRun` and a line in `STAGES`."""

from collections.abc import Callable

from rrm.cluster.phase import Description
from rrm.cluster.scoring import read_outcomes, score_trials
from rrm.curves import curve_path
from rrm.errors import InputError
from rrm.jobs.folder import OUTCOMES, SHORTEST, puzzles_file
from rrm.jobs.recipes import refuse_conflicts
from rrm.jobs.record import TrialRecord, choose
from rrm.jobs.spec import SweepSpec
from rrm.reports.arms import best_line, comparison_metrics, points, summary_table
from rrm.reports.perturbation import draw, findings, panels, stability_metrics
from rrm.reports.search import search_findings
from rrm.statistics.arms import arm_sentences, arm_table, compare_arms
from rrm.studies.dream_stage import rounds
from rrm.studies.grokking_stage import grokking
from rrm.studies.measured import choose_measured, measure_trials, provenance
from rrm.studies.publish import publish
from rrm.studies.sweep_run import SweepRun
from rrm.studies.tier_stage import tiers
from rrm.terminal.table import markdown_table, table, write_csv
from rrm.training import checkpoint, snapshots

Stage = Callable[[SweepRun], None]


def score(run: SweepRun) -> None:
    """Score all trials on their test puzzles; without data of the sweep, on the objective's own validation data."""
    trials = [trial for trial in run.trials if trial.data is not None]
    tests = {key: splits.test for key, splits in run.splits.items()}
    run.scores = score_trials(run.folder, trials, tests, run.resources, run.analysis)
    for weights in (run.folder.read("scores") or {}).values():
        run.work_s += sum(found["seconds"] for found in weights.values())
    name = run.spec.score
    for trial in (trial for trial in run.trials if trial.data is None):
        run.scores[trial.name] = {"best": {name: trial.best[name]}, "final": {name: trial.curve[-1]}}


def measure(run: SweepRun) -> None:
    """Measure Lyapunov spectra of the best trial and of the trials that it is compared with."""
    measured = choose_measured(run.chosen_from, run.scores, run.counts, run.spec.score)
    names = provenance(run.tracker, run.record)
    tests = {key: splits.test for key, splits in run.splits.items()}
    run.results, work = measure_trials(run.folder, measured, tests, names, run.resources, run.analysis, run.preset.k)
    run.panels = panels(run.results)
    run.work_s += work


def compare(run: SweepRun) -> None:
    """Compare arms with their baseline, over seeds."""
    refuse_conflicts([run.recipes.of(trial.config) for trial in run.trials], _drawn(run))
    outcomes = read_outcomes(run.folder)
    run.points = points(run.trials, run.scores, run.counts, outcomes, run.spec.score)
    run.compared = compare_arms(run.points)


def _drawn(run: SweepRun) -> Callable[[dict], bool]:
    numbers = {trial.config["trial"] for trial in run.searched if trial.drawn}
    return lambda config: config["trial"] in numbers


def search(run: SweepRun) -> None:
    """Compute the importance of the axes of a search."""
    run.search = search_findings(run.chosen_from, run.objectives, run.args.seed, run.spec.score)


def draw_figures(run: SweepRun) -> None:
    """Draw all figures."""
    run.report.figures |= draw(run.panels, run.points, run.compared, run.search)


def say(run: SweepRun) -> None:
    """Write tables and sentences."""
    said, best = run.report, run.best
    if run.results:
        # The best of a grid may be of another training seed than those that are measured.
        measured = choose([trial for trial in run.chosen_from if trial.name in run.results])
        said.sentences += findings(run.panels, run.results, run.points, run.compared, measured)
    else:
        said.sentences += arm_sentences(run.compared)
    said.sentences += run.search.sentences if run.search else []
    said.sentences.append(run.spec.matching)

    said.tables[""] = summary_table(run.trials, run.scores, run.spec.score)
    rows = arm_table(run.compared)
    if rows:
        title = "arms, over seeds; each 95 % interval by itself, without correction for the others"
        said.tables[title] = table(rows)
    if lost := [trial.name for trial in run.everyone if not trial.checkpoint]:
        said.lines.append(f"without a checkpoint: {', '.join(lost)}")
    said.lines += ["", best_line(best, run.scores, run.spec.score)]
    said.note = "\n\n".join([*([markdown_table(rows)] if rows else []), *said.sentences])


def log(run: SweepRun) -> None:
    """Log scores, checkpoints and result files to the runs of the trials, and publish the report."""
    tracker, folder, best = run.tracker, run.folder, run.best
    for trial in run.trials:
        _log_trial(run, trial)

    said = run.report
    said.files |= {f"lyapunov/{folder.spectra(name).name}": "lyapunov" for name in run.results}
    said.files |= {"sweep.json": "", "trials.json": ""}
    # Without data of the sweep there are no scores, and of a sweep that an older rrm has scored no outcomes.
    kept = {"scores.json": "", OUTCOMES: OUTCOMES, SHORTEST: SHORTEST}
    said.files |= {name: place for name, place in kept.items() if (folder.path / name).exists()}
    said.files |= {puzzles_file(key): "puzzles" for key in run.splits}
    said.metrics |= {f"best/{name}": value for name, value in run.scores[best.name]["best"].items()}
    for comparison in run.compared:
        said.metrics |= comparison_metrics(comparison)
    if run.search:
        said.metrics |= run.search.metrics()
        said.tags |= {"rrm.pareto_front": ", ".join(run.search.front)} if run.search.front else {}
    if rows := arm_table(run.compared):
        write_csv(rows, folder.path / "arms.csv")
        said.files["arms.csv"] = ""
    said.tags["rrm.best_trial"] = best.name
    scored = "test" if best.data is not None else "validation"
    said.compared_by = said.compared_by or f"{scored}/best_{run.spec.score}"
    said.places.append(f"results   {folder.path}")
    publish(said, folder, tracker, run.parent)
    print(f"RUN_ID    {run.parent} of the sweep, {tracker.run('trial', best.name)} of its best trial")


def _log_trial(run: SweepRun, trial: TrialRecord) -> None:
    tracker, folder = run.tracker, run.folder
    logged = tracker.run("trial", trial.name, *describe(run)(trial.config))
    source = folder.path / str(trial.checkpoint)
    for name in ("checkpoint.json", *(f"{which}.safetensors" for which in (*checkpoint.WEIGHTS, snapshots.NAME))):
        if (source / name).exists():  # trials of an older rrm have no initial weights, and some have no snapshots
            tracker.artifact(logged, source / name, "checkpoint")
    curves = curve_path(folder.path, trial.name)
    if curves.exists():  # trials of an older rrm have none
        tracker.curves(logged, curves)
    tags: dict[str, object] = {"rrm.checkpoint_hash": checkpoint.weights_hash(source, "best")}
    values: dict[str, float] = {}
    if trial.data is not None:
        tags["rrm.test_puzzles"] = run.counts[trial.data]
        values = {
            f"test/{which}_{name}": value
            for which in ("best", "final")
            for name, value in run.scores[trial.name][which].items()
            if name != "seconds"
        }
    tags |= {"rrm.drawn": trial.drawn, "rrm.stopped_early": trial.stopped_early}
    tracker.tags(logged, tags)
    if trial.name in run.panels:
        values |= stability_metrics(run.panels[trial.name])
        tracker.artifact(logged, folder.spectra(trial.name), "lyapunov")
    tracker.summary(logged, values)
    tracker.finish(logged, "FAILED" if trial.failed else "FINISHED")


def describe(run: SweepRun) -> Description:
    """Parameters and tags of the trials' runs."""
    tags = {"mlflow.source.git.commit": run.record["git_commit"], "rrm.data_hash": run.record["data_hash"]}
    return Description(run.recipes, tags)


# By name in a SweepSpec.
STAGES: dict[str, Stage] = {
    "score": score,
    "measure": measure,
    "compare": compare,
    "search": search,
    "draw": draw_figures,
    "say": say,
    "log": log,
    "grokking": grokking,
    "rounds": rounds,
    "tiers": tiers,
}


def stages_of(spec: SweepSpec) -> list[Stage]:
    """The stages of a sweep; InputError for a name that no stage has."""
    for name in spec.stages:
        if isinstance(name, str) and name not in STAGES:
            raise InputError(f"the sweep {spec.name} has a stage {name!r}, which is unknown: use {', '.join(STAGES)}")
    return [STAGES[stage] if isinstance(stage, str) else stage for stage in spec.stages]
