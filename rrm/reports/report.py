"""What a study says, in pieces, and how the pieces reach terminal, folder and store."""

from dataclasses import dataclass, field

from matplotlib.figure import Figure

from rrm.figures import save
from rrm.jobs.folder import JobFolder
from rrm.statistics.hypotheses import Verdicts
from rrm.tracking import Tracker


@dataclass
class Report:
    """Pieces of a report: lines of tables by title, sentences, metrics, and figures by file name.

    verdicts: on everything that the sentences test, corrected together.
    """

    verdicts: Verdicts
    tables: dict[str, list[str]] = field(default_factory=dict)
    sentences: list[str] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)
    figures: dict[str, Figure] = field(default_factory=dict)

    def publish(self, folder: JobFolder, tracker: Tracker, run: str, *files: str) -> None:
        """Print everything, write it to the folder, and log it to the run together with `files` of the folder."""
        text = "\n\n".join(f"{title}\n  " + "\n  ".join(lines) for title, lines in self.tables.items())
        print("\n" + text + "\n\nfound\n  " + "\n  ".join(self.sentences))
        (folder.path / "tables.txt").write_text(text + "\n", encoding="utf-8")
        tracker.summary(run, self.metrics)
        tracker.tags(run, {"mlflow.note.content": "\n\n".join(self.sentences)})
        for name in ("tables.txt", "study.json", *files):
            tracker.artifact(run, folder.path / name)
        print("\nfigures")
        (folder.path / "figures").mkdir(exist_ok=True)
        for name, figure in self.figures.items():
            path = folder.path / "figures" / f"{name}.png"
            save(figure, path)
            tracker.artifact(run, path, "figures")
            print(f"  {path}")
        command, link = tracker.ui()
        print(f"\nresult    {folder.path / 'result.npz'}\nMLflow    {command}\n          {link}")
