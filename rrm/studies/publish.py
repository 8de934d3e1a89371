"""Bring a report to terminal, folder and store: one way for all jobs."""

from pathlib import Path

from rrm.figures import save
from rrm.jobs.folder import JobFolder
from rrm.reports.report import Report
from rrm.tracking import Tracker


def publish(report: Report, folder: JobFolder, tracker: Tracker, run: str) -> None:
    """Print a report, write its figures into the folder of its job, and log everything to its run."""
    print("\n" + "\n".join([report.text, *report.lines]))
    print("\nfound\n  " + "\n  ".join(report.sentences))
    tracker.summary(run, report.metrics)
    tracker.tags(run, report.tags | {"mlflow.note.content": report.note or "\n\n".join(report.sentences)})
    for name, place in report.files.items():
        tracker.artifact(run, folder.path / name, place)
    print("\nfigures")
    for path in _save(report, folder.path / "figures"):
        tracker.artifact(run, path, "figures")
        print(f"  {path}")
    command, link = tracker.ui(report.compared_by)
    print("\n" + "\n".join([*report.places, f"MLflow    {command}", f"          {link}"]))


def _save(report: Report, folder: Path) -> list[Path]:
    """Write the figures as PNG files."""
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{name}.png" for name in report.figures]
    for path, figure in zip(paths, report.figures.values(), strict=True):
        save(figure, path)
    return paths
