"""The report of a sweep in MLflow."""

from pathlib import Path

from rrm.cluster.phase import Description
from rrm.jobs.folder import OUTCOMES, TEST_PUZZLES, JobFolder
from rrm.reports.perturbation import comparison_metrics, result_path, stability_metrics
from rrm.reports.search import SearchFindings
from rrm.statistics import OutcomePanel
from rrm.statistics.arms import ArmComparison, arm_table
from rrm.tasks.puzzle_file import load_puzzles
from rrm.terminal.table import markdown_table, write_csv
from rrm.tracking import Tracker
from rrm.training import checkpoint


def log_report(
    tracker: Tracker,
    folder: JobFolder,
    trials: list[dict],
    scores: dict,
    outcome: list[OutcomePanel],
    measured: list[dict],
    figures: list[Path],
    sentences: list[str],
    compared: list[ArmComparison],
    search: SearchFindings | None,
    best: dict,
    describe: Description,
) -> None:
    """Test scores, checkpoints and result files into the trials' runs; figures and findings into the sweep's."""
    by_name = {t["name"]: panel for t, panel in zip(measured, outcome, strict=True)}
    count = len(load_puzzles(folder.path / TEST_PUZZLES))
    for trial in trials:
        run = tracker.run("trial", trial["name"], *describe(trial["config"]))
        values = {
            f"test/{which}_{name}": value
            for which in checkpoint.WEIGHTS
            for name, value in scores[trial["name"]][which].items()
            if name != "seconds"
        }
        source = folder.path / trial["checkpoint"]
        for name in ("checkpoint.json", "best.safetensors", "final.safetensors"):
            tracker.artifact(run, source / name, "checkpoint")
        tags = {
            "rrm.checkpoint_hash": checkpoint.weights_hash(source, "best"),
            "rrm.test_puzzles": count,
            "rrm.drawn": trial["drawn"],
        }
        tracker.tags(run, tags | {"rrm.stopped_early": trial["stopped_early"]})
        if panel := by_name.get(trial["name"]):
            values |= stability_metrics(panel)
            tracker.artifact(run, result_path(folder, trial), "lyapunov")
        tracker.summary(run, values)
        tracker.finish(run, "FAILED" if trial["failed"] else "FINISHED")

    parent = tracker.run("sweep", tracker.job)
    for figure in figures:
        tracker.artifact(parent, figure, "figures")
    for trial in measured:
        tracker.artifact(parent, result_path(folder, trial), "lyapunov")
    for name in ("sweep.json", "trials.json", "scores.json"):
        tracker.artifact(parent, folder.path / name)
    if (folder.path / OUTCOMES).exists():  # a sweep that an older rrm has scored has none
        tracker.artifact(parent, folder.path / OUTCOMES, OUTCOMES)
    tracker.artifact(parent, folder.path / TEST_PUZZLES, "puzzles")
    values = {f"best/{name}": value for name, value in scores[best["name"]]["best"].items()}
    for comparison in compared:
        values |= comparison_metrics(comparison)
    tracker.summary(parent, values | (search.metrics() if search else {}))
    if search and search.front:
        tracker.tags(parent, {"rrm.pareto_front": ", ".join(search.front)})
    rows = arm_table(compared)
    if rows:
        write_csv(rows, folder.path / "arms.csv")
        tracker.artifact(parent, folder.path / "arms.csv")
    note = "\n\n".join([*([markdown_table(rows)] if rows else []), *sentences])
    tracker.tags(parent, {"rrm.best_trial": best["name"], "mlflow.note.content": note})
