"""The runs that a page or a notebook looks at, in groups, and their series."""

from collections.abc import Iterable, Sequence
from functools import cached_property

from rrm.curves import Curves
from rrm.explorer.groups import RunGroup, group_runs
from rrm.explorer.runs import chosen
from rrm.explorer.view import View
from rrm.tracking.reader import Reader, Run, fits


class Selection:
    """The groups of a view.

    In a notebook:

        reader = SqliteReader(Path("runs/mlflow.db"), Path("runs"))
        for figure in TABS["training"].figures(Selection.of(reader, View()), View()):
            figure.show()
    """

    def __init__(self, reader: Reader, groups: Sequence[RunGroup]):
        self._reader = reader
        self.groups = list(groups)

    @classmethod
    def of(cls, reader: Reader, view: View, runs: Sequence[Run] | None = None) -> "Selection":
        """The runs of a view, out of `runs` or of all that the reader has."""
        known = reader.every_run() if runs is None else runs
        return cls(reader, group_runs(chosen(known, view), view.group, view.hidden))

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
