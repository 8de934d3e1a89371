"""What a stage works with: its device, sizes and time, and the rows that it writes."""

import json
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from tests.gpu.sizes import Sizes

Row = dict[str, Any]

# Folder of the parts of a checkpoint, in that of the results.
CHECKPOINT = "checkpoint"


@dataclass
class Session:
    """One stage at work.

    Attributes:
        device: "cuda" or "cpu".
        sizes: of this kind of device.
        seconds: that the stage may take.
        rows: file for a row of JSON a line. A row is on disk before the next one begins, so that a stage which is
            ended keeps what it found.
        out: folder of the check, for the checkpoint.
        data: puzzles of the training, None for generated ones.
        found: rows that earlier stages found, and this one in an earlier run, by stage.
    """

    device: str
    sizes: Sizes
    seconds: float
    rows: Path
    out: Path
    data: str | None = None
    found: dict[str, list[Row]] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        """Seconds until the stage is ended."""
        return self.began + self.seconds - time.monotonic()

    def row(self, case: str, says: str, holds: bool | None = None, **numbers: Any) -> None:
        """Write what a case found: in words, whether it is as it has to be (None: a mere number), and as numbers."""
        mark = {None: "", True: "  ok", False: "  NOT AS IT HAS TO BE"}[holds]
        print(f"  {case}: {says}{mark}", flush=True)
        with open(self.rows, "a", encoding="utf-8") as file:
            file.write(json.dumps({"case": case, "says": says, "holds": holds, **numbers}) + "\n")

    @contextmanager
    def case(self, name: str) -> Iterator[None]:
        """A block whose failure is a row, and leaves the cases behind it alone."""
        try:
            yield
        except Exception as error:
            traceback.print_exc()
            reason = (str(error).strip().splitlines() or [""])[0][:200]
            self.row(name, f"failed: {type(error).__name__}: {reason}", holds=False)

    def clock(self) -> float:
        """Seconds, once the device has done all that it was given."""
        if self.device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def timed(self, work: Callable[[], Any], repeat: int) -> list[float]:
        """Seconds of each of `repeat` runs of the work."""
        seconds = []
        for _ in range(repeat):
            began = self.clock()
            work()
            seconds.append(self.clock() - began)
        return seconds

    def forget_peak(self) -> None:
        """Give back memory that nothing uses, and measure the peak anew."""
        if self.device == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    @property
    def peak_gib(self) -> float | None:
        """Most memory that tensors took since `forget_peak`; a CPU does not say."""
        return torch.cuda.max_memory_allocated() / 2**30 if self.device == "cuda" else None


def in_words(*parts: str | None) -> str:
    """The parts that there are, with commas."""
    return ", ".join(part for part in parts if part)
