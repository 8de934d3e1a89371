"""Sends the operations of a driver to its store, in order, while the driver goes on whatever the store does."""

import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from rrm.errors import InputError
from rrm.tracking.failure import away_reason, short
from rrm.tracking.secrets import mask
from rrm.tracking.spool import Spool

PATIENCE_S = 1.0  # a write waits so long for its confirmation
BACKOFF_S = (0.5, 5.0)  # first and longest pause between attempts
BEAT_S = 30.0
POINTS = 800  # of metrics in one go; MLflow takes 1000
STUBBORN = 10  # attempts at an operation that fails on a store that answers everything else


class Outbox:
    """A spool and the thread that empties it.

    perform: sends one operation, or several that log metrics; raises what MLflow raises
    probe: asks the store for anything; raises as well
    beat: gives a sign of life
    away: why the last attempt failed, "" while the store takes what it gets
    """

    def __init__(self, spool: Spool, perform: Callable[[list[dict]], None], probe: Callable, beat: Callable, uri: str):
        self.spool = spool
        self._perform, self._probe, self._beat, self._uri = perform, probe, beat, uri
        self._condition = threading.Condition()
        self._waiting: deque[dict] = deque()
        self._submitted = self._sent = self._refused = self._outage = 0
        self.away, self._slow, self._said, self._unkept, self._adopted = "", False, False, False, False
        self._last_success = time.monotonic()
        self._thread: threading.Thread | None = None
        self._beating = False

    def submit(self, operation: dict) -> None:
        """Write an operation down, and wait for the store to take it: while beating, a moment only.

        Nothing is raised for the store's sake: what it does not take now is sent later, what it refuses is said.
        """
        with self._condition:
            self.adopt()
            self._keep(operation)
            self._waiting.append(operation)
            self._submitted += 1
            number = self._submitted
            self._start()
            self._condition.notify_all()
            if not (self.away or self._slow):
                # Without a job that must go on, there is time until the store is away.
                patience = PATIENCE_S if self._beating else None
                sent = self._condition.wait_for(lambda: self._sent >= number or self.away, patience)
                # Behind a long upload, one wait is enough.
                self._slow = not sent

    def adopt(self) -> int:
        """Send, before anything else, what an earlier driver of the job left; -> number of operations."""
        with self._condition:
            left = [] if self._adopted else self.spool.load()
            self._adopted = True
            self._waiting.extend(left)
            self._submitted += len(left)
            if left:
                self._start()
                self._slow = True
            return len(left)

    def flush(self, patience_s: float) -> int:
        """Wait until all is sent, or until the store has been away for `patience_s`; -> operations that remain."""
        begun = time.monotonic()
        with self._condition:
            while self._waiting:
                self._start()
                self._condition.wait(0.2)
                since = max(begun, self._last_success)
                # One failed attempt may be a crowd before a locked database.
                if self._said and time.monotonic() - since > patience_s:
                    break
            return len(self._waiting)

    def start_beating(self) -> None:
        """Give a sign of life every half minute until `stop`."""
        with self._condition:
            self._beating = True
            self._start()

    def stop(self, patience_s: float) -> int:
        """Send what can be sent, as `flush` does, and stop; -> operations that remain on disk."""
        try:
            self.flush(patience_s)
        except KeyboardInterrupt:
            pass  # the user's patience is over sooner
        with self._condition:
            self._beating = False
            remain = len(self._waiting)
            self._waiting.clear()
            self._condition.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(PATIENCE_S)
        if self._refused:
            self._say(f"refused {self._refused} operations: see {self.spool.folder / 'refused.jsonl'}")
        self.spool.close()
        return remain

    def _start(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._work, name="rrm-tracking", daemon=True)
            self._thread.start()

    def _keep(self, operation: dict) -> None:
        try:
            self.spool.append(operation)
        except (OSError, InputError) as error:
            if not self._unkept:
                self._say(f"has no spool ({short(error, self._uri)}): what it does not take is in memory only")
            self._unkept = True

    def _work(self) -> None:
        pause, failures, most = BACKOFF_S[0], 0, POINTS
        next_beat = time.monotonic() + BEAT_S
        while True:
            with self._condition:
                if not self._waiting and self._beating:
                    self._condition.wait(max(0.0, next_beat - time.monotonic()))
                if not self._waiting and not self._beating:
                    self._thread = None
                    return
                batch = self._next(most)
            if self._beating and time.monotonic() >= next_beat:
                next_beat = time.monotonic() + BEAT_S
                if not self.away:
                    self._give_sign()
            if not batch:
                continue
            try:
                self._perform(batch)
            except Exception as error:
                reason = away_reason(error, self._uri)
                failures += 1
                # Less at a time: the store may be overloaded, or it refuses one of several operations.
                most //= 4
                if reason and not (failures >= STUBBORN and self._answers()):
                    self._hold(reason, pause, failures)
                    pause = min(2 * pause, BACKOFF_S[1])
                    continue
                if len(batch) > 1:
                    continue
                self._refuse(batch[0], error)
            pause, failures, most = BACKOFF_S[0], 0, min(2 * most + 1, POINTS)
            self._confirm(batch)

    def _next(self, most: int) -> list[dict]:
        """The next operation, and those behind it as long as all log metrics, at most so many points."""
        batch: list[dict] = []
        points = 0
        for operation in self._waiting:
            points += len(operation.get("metrics", ())) + 1
            if batch and (operation["op"] != "metrics" or batch[0]["op"] != "metrics" or points > most):
                break
            batch.append(operation)
        return batch

    def _confirm(self, batch: list[dict]) -> None:
        with self._condition:
            self._last_success = time.monotonic()
            # `stop` may have given the operation up meanwhile; it stays in the spool then, and may be sent again.
            if self._waiting and self._waiting[0] is batch[0]:
                for _ in batch:
                    self._waiting.popleft()
                self._sent += len(batch)
                self._outage += len(batch) * self._said
                self._slow = bool(self._waiting) and (self._slow or bool(self.away))
                self.away = ""
                if not self._waiting:
                    try:
                        self.spool.clear()
                    except OSError:
                        pass  # what stays on disk is sent once more some day, which does no harm
                    if self._said:
                        self._say(f"is back: the {self._outage} operations that were kept are logged now")
                    self._said, self._outage = False, 0
            self._condition.notify_all()

    def _hold(self, reason: str, pause: float, failures: int) -> None:
        try:
            # Here and not in `submit`: on a busy disk this takes seconds, for which no training should wait.
            self.spool.sync()
        except OSError:
            pass  # `_keep` says what the disk does not take
        with self._condition:
            self.away = reason
            self._condition.notify_all()
            if failures == 2 and not self._said:
                self._said = True
                self._say(f"is away ({reason}): the work goes on, what it logs is kept in {self.spool.folder}")
            deadline = time.monotonic() + pause
            while self._waiting and (left := deadline - time.monotonic()) > 0:
                self._condition.wait(left)

    def _refuse(self, operation: dict, error: Exception) -> None:
        reason = short(error, self._uri)
        self._refused += 1
        self._say(f"will not take {operation['op']} of run {operation.get('run', '')}: {reason}")
        try:
            self.spool.refuse(operation, reason)
        except OSError:
            pass  # said above

    def _answers(self) -> bool:
        try:
            self._probe()
        except Exception:
            return False
        return True

    def _give_sign(self) -> None:
        try:
            self._beat()
        except Exception:
            pass  # the next operation tells whether the store is away

    def _say(self, what: str) -> None:
        with suppress(BrokenPipeError):  # of a terminal that is gone; what is logged still has to be sent
            print(f"tracking store {mask(self._uri)} {what}", file=sys.stderr, flush=True)
