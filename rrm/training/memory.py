"""The gradients of a step in as many equal parts of its batch as it takes to fit the memory."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from rrm.training.objective import Carry, Outcome


def more_micro_batches(puzzles: int, micro_batches: int) -> int | None:
    """The next number of equal parts of so many puzzles; None if each is a single puzzle already."""
    return next((n for n in range(micro_batches + 1, puzzles + 1) if puzzles % n == 0), None)


class MicroBatches:
    """Cuts the `share` puzzles that this worker has of a batch into `count` parts whose gradients add up.

    objective: as it is called, wrapped for several workers or not.

    Where a part does not fit the memory of a single worker, `count` grows and the step is done again. Among several
    workers the error is raised: the others are waiting, and all have to begin again with more parts.
    """

    def __init__(self, objective: nn.Module, share: int, count: int, *, seed: int, rank: int, world: int):
        self.objective, self.share, self.count = objective, share, count
        self._seed, self._rank, self._world = seed, rank, world

    def gradients(
        self, step: int, batch: dict[str, Tensor], carry: Carry, forget: Callable[[], None]
    ) -> tuple[Outcome, Carry]:
        """Leave the gradients of step number `step` (from 0) in the parameters; -> (outcome, next carry).

        `forget` clears the gradients of an attempt that was broken off.
        """
        while True:
            try:
                return self._in_parts(step, batch, carry)
            except torch.OutOfMemoryError:
                more = more_micro_batches(self.share, self.count)
                if self._world > 1 or not more:
                    raise
            # Beyond the handler: the traceback held on to what was computed.
            self.count = more
            forget()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def _in_parts(self, step: int, batch: dict[str, Tensor], carry: Carry) -> tuple[Outcome, Carry]:
        carries: list[Carry] = []
        outcomes: list[Outcome] = []
        size = self.share // self.count
        for number in range(self.count):
            rows = slice(number * size, (number + 1) * size)
            # Fresh per step and part, so that an interrupted run resumes with the very same noise. A part has the noise
            # of the worker that it would be the whole batch of.
            part = self._rank * self.count + number
            seed = np.random.SeedSequence([self._seed, step, part]).generate_state(1, np.uint64)[0]
            generator = torch.Generator().manual_seed(int(seed >> 1))
            with self._exchange(last=number + 1 == self.count):
                mine = {key: value[rows] for key, value in batch.items()}
                loss, after, outcome = self.objective(carry.part(rows), mine, generator)
                (loss / self.count).backward()
            outcome.sums |= {"loss": loss.detach(), "steps": torch.ones(())}
            carries.append(after)
            outcomes.append(outcome)
        return _joined(outcomes), type(carries[0]).join(carries)

    def _exchange(self, last: bool) -> AbstractContextManager[None]:
        """Workers exchange gradients once a step, with its last part."""
        if isinstance(self.objective, DistributedDataParallel) and not last:
            return self.objective.no_sync()
        return nullcontext()


def _joined(outcomes: list[Outcome]) -> Outcome:
    """Sums added up, and rows one part after the other."""
    sums: dict[str, Tensor] = {}
    for outcome in outcomes:
        for name, value in outcome.sums.items():
            # A NaN anywhere stays visible in the sum.
            sums[name] = sums[name] + value if name in sums else value
    return Outcome(sums, {name: torch.cat([o.rows[name] for o in outcomes]) for name in outcomes[0].rows})
