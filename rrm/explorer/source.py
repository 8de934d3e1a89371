"""The runs behind the page, read again only where the store has changed."""

import threading
import time
from pathlib import Path

from rrm.explorer.selection import Selection
from rrm.explorer.view import View
from rrm.tracking.address import database_file
from rrm.tracking.reader import Reader, Run
from rrm.tracking.secrets import mask
from rrm.tracking.sqlite_reader import SqliteReader

SERVER_PAUSE_S = 15.0  # between two looks at a server, which does not say whether it has changed


class Source:
    """The store of a page; safe for several threads.

    Attributes:
        name: the store, without credentials.
        lock: to be held while series are read.
    """

    def __init__(self, uri: str, storage: Path):
        self.name = mask(uri)
        self._uri, self._storage = uri, storage
        self.lock = threading.RLock()
        self._reader: Reader | None = None
        self._known: tuple[str, list[Run]] = "", []
        if file := database_file(uri):
            self._reader = SqliteReader(file, storage)

    @property
    def reader(self) -> Reader:
        """The reader; MLflow, which takes seconds to import, is imported here, for servers alone."""
        with self.lock:
            if self._reader is None:
                from rrm.tracking.store_reader import StoreReader

                self._reader = StoreReader(self._uri, self._storage / "downloads", self._storage)
            return self._reader

    def version(self) -> str:
        """A text that changes with the runs and their points."""
        growth = f" {self._reader.growth()}" if isinstance(self._reader, SqliteReader) else ""
        return self._of_runs() + growth

    def _of_runs(self) -> str:
        """A text that changes with the runs."""
        if isinstance(self._reader, SqliteReader):
            return " ".join(map(str, self._reader.version()))
        return str(int(time.time() / SERVER_PAUSE_S))

    def runs(self) -> list[Run]:
        """All runs; InputError where the store cannot be read."""
        with self.lock:
            if self._known[0] != (version := self._of_runs()):
                self._known = version, self.reader.every_run()
            return self._known[1]

    def select(self, view: View) -> Selection:
        """The groups of a view."""
        return Selection.of(self.reader, view, self.runs())
