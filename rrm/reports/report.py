"""The report of a job, in pieces. `rrm.studies.publish` brings them to terminal, folder and store."""

from dataclasses import dataclass, field

from matplotlib.figure import Figure

from rrm.statistics.hypotheses import Verdicts


@dataclass
class Report:
    """Pieces of a report.

    Attributes:
        verdicts: verdicts on all tests in the sentences, corrected together.
        tables: lines by title; lines without a title ("") are not indented.
        lines: lines that are printed after the tables.
        sentences: the findings.
        note: description of the run in MLflow; by default the sentences.
        metrics, tags: of the run.
        figures: by name of their file.
        files: paths below the folder of the job that go to the run, each with the folder that it has there.
        places: lines on where the results are, printed last.
        compared_by: metric by which the trials of the job stand in the MLflow UI; "" for a job without trials.
    """

    verdicts: Verdicts = field(default_factory=lambda: Verdicts([]))
    tables: dict[str, list[str]] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)
    note: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    tags: dict[str, object] = field(default_factory=dict)
    figures: dict[str, Figure] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    places: list[str] = field(default_factory=list)
    compared_by: str = ""

    @property
    def text(self) -> str:
        """The tables as text."""
        blocks = ["\n  ".join([title, *lines]) if title else "\n".join(lines) for title, lines in self.tables.items()]
        return "\n\n".join(blocks)
