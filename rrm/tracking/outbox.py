"""Send the operations of a driver to its store, in order, in a thread: the driver goes on whatever the store does."""

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

PATIENCE_S = 1.0  # how long a write waits for its confirmation
BACKOFF_S = (0.5, 5.0)  # first and longest pause between attempts
BEAT_S = 30.0
POINTS = 800  # metrics in one request; MLflow takes 1000
STUBBORN = 10  # attempts at an operation that fails while the store answers everything else


class Outbox:
    """A spool and the thread that empties it.

    perform: sends one operation, or several that log metrics; raises the errors of MLflow
    probe: asks the store a question; raises the errors of MLflow
    beat: sends a heartbeat
    away: why the last attempt failed, "" while the store accepts operations
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
        """Append the operation to the spool, then wait for the store: at most PATIENCE_S while a job runs.

        The store causes no error here: operations that it does not take now are sent later, and a refusal is printed.
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
                # No job has to go on, so it waits until the store answers or is away.
                patience = PATIENCE_S if self._beating else None
                sent = self._condition.wait_for(lambda: self._sent >= number or self.away, patience)
                # Behind a long upload every operation would wait: once is enough.
                self._slow = not sent

    def adopt(self) -> int:
        """Send first the operations that an earlier driver of the job left; -> their number."""
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
        """Wait until all is sent, or until the store has been away for `patience_s`; -> number of operations left."""
        begun = time.monotonic()
        with self._condition:
            while self._waiting:
                self._start()
                self._condition.wait(0.2)
                since = max(begun, self._last_success)
                # One failed attempt may only mean that others have locked the database.
                if self._said and time.monotonic() - since > patience_s:
                    break
            return len(self._waiting)

    def start_beating(self) -> None:
        """Send a heartbeat every half minute until `stop`."""
        with self._condition:
            self._beating = True
            self._start()

    def stop(self, patience_s: float) -> int:
        """Send all that can be sent, as `flush` does, and stop; -> number of operations left on disk."""
        try:
            self.flush(patience_s)
        except KeyboardInterrupt:
            pass  # the user interrupts the wait
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
                # Send fewer at a time: the store may be overloaded, or refuse one of several operations.
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
        """The next operation; if it logs metrics, also those behind it that do, up to a number of points."""
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
            # If `stop` has given up meanwhile, the operation stays in the spool and may be sent again.
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
                        pass  # operations that stay on disk are sent again later, which does no harm
                    if self._said:
                        self._say(f"is back: the {self._outage} operations that were kept are logged now")
                    self._said, self._outage = False, 0
            self._condition.notify_all()

    def _hold(self, reason: str, pause: float, failures: int) -> None:
        try:
            # Not in `submit`: on a busy disk this takes seconds, and no training should wait for it.
            self.spool.sync()
        except OSError:
            pass  # `_keep` prints the errors of the disk
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
            pass  # the next operation shows whether the store is away

    def _say(self, what: str) -> None:
        with suppress(BrokenPipeError):  # the terminal is gone; operations still have to be sent
            print(f"tracking store {mask(self._uri)} {what}", file=sys.stderr, flush=True)
