"""The runs that a page or a notebook looks at, in groups, and their series."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

from rrm.curves import Curves
from rrm.errors import InputError
from rrm.explorer.groups import RunGroup, group_runs
from rrm.explorer.runs import chosen, is_training
from rrm.explorer.view import View
from rrm.tracking.reader import Reader, Run, fits


def _sources(run: Run) -> list[str]:
    """Ids of the trainings that a study is of."""
    return run.tags.get("rrm.source_run", "").split()


class Selection:
    """The groups of a view, and the own runs of the jobs (sweeps, studies), which hold what compares runs.

    In a notebook:

        reader = SqliteReader(Path("runs/mlflow.db"), Path("runs"))
        for figure in TABS["training"].figures(Selection.of(reader, View()), View()):
            figure.show()

    Attributes:
        groups: of the trainings that are drawn.
        jobs: the own runs of sweeps and studies.
        whole: whether figures get all points with the ends of ranges, for a table, and not as many as one can see.
    """

    def __init__(self, reader: Reader, groups: Sequence[RunGroup], jobs: Sequence[Run] = ()):
        self._reader = reader
        self.groups = list(groups)
        self.jobs = list(jobs)
        self.whole = False

    @classmethod
    def of(cls, reader: Reader, view: View, runs: Sequence[Run] | None = None) -> "Selection":
        """The runs of a view, out of `runs` or of all that the reader has."""
        known = reader.every_run() if runs is None else runs
        drawn = chosen(known, view)
        jobs = {run.group for run in drawn}
        ids = {run.id for run in drawn}
        # A view of some runs is one of their jobs; a view of all runs is one of all jobs. Both are of studies of them.
        heads = [
            run
            for run in known
            if not is_training(run)
            and (
                not ids.isdisjoint(_sources(run))
                or ((run.group in jobs or not view.runs) and (run.group in view.jobs or not view.jobs))
            )
        ]
        return cls(reader, group_runs(drawn, view.group, view.hidden), heads)

    def file(self, run: Run, name: str) -> Path | None:
        """A file of a run; None where the run has none of this name."""
        try:
            return self._reader.file(run, name)
        except InputError:
            return None

    @property
    def runs(self) -> list[Run]:
        """All runs that are not hidden."""
        return [run for group in self.groups for run in group.runs]

    @cached_property
    def names(self) -> list[str]:
        """Names of the series that some run has."""
        return list(dict.fromkeys(name for run in self.runs for name in (*self._reader.curves(run), *run.metrics)))

    def has(self, patterns: Sequence[str]) -> bool:
        """Whether some run has a series that is named; a pattern with a * names all that fit."""
        return any(fits(name, patterns) for name in self.names)

    def curves(self, patterns: Iterable[str]) -> dict[str, Curves]:
        """The series that are named, by id of the run."""
        return self._reader.histories(self.runs, tuple(patterns))
