"""What turns before runs grok, over many runs: a sign counts where runs that never grok lack it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rrm.statistics.events import early_signs
from rrm.statistics.training_runs import TrainingRun


@dataclass(frozen=True)
class SharedSign:
    """A series that turns, over runs.

    Attributes:
        name: of the series.
        leads: steps from its turn to grokking, of the runs that grok and in which it turns.
        shares: the same leads as shares of the steps from memorisation to grokking.
        before: number of these runs in which it turns before test accuracy rises.
        grokked: number of runs that grok and have the series.
        turned_without: number of runs that never grok and in which it turns all the same.
        without: number of runs that never grok and have the series.
    """

    name: str
    leads: tuple[int, ...]
    shares: tuple[float, ...]
    before: int
    grokked: int
    turned_without: int
    without: int

    @property
    def lead(self) -> float:
        """Median lead in steps; nan without one."""
        return float(np.median(self.leads)) if self.leads else float("nan")


def shared_signs(runs: Sequence[TrainingRun]) -> list[SharedSign]:
    """The signs of all series that turn in a run that groks, the longest median lead first."""
    grokked, others = [run for run in runs if run.grokked], [run for run in runs if not run.grokked]
    found = {run.name: {sign.name: sign for sign in early_signs(run.curves, run.events)} for run in runs}
    names = dict.fromkeys(name for run in grokked for name in found[run.name])
    signs = []
    for name in names:
        turned = [run for run in grokked if name in found[run.name]]
        leads = [found[run.name][name].lead for run in turned]
        early = [run for run in turned if found[run.name][name].step < (run.events.rising or 0)]
        signs.append(
            SharedSign(
                name=name,
                leads=tuple(leads),
                shares=tuple(lead / max(1, run.events.delay or 0) for lead, run in zip(leads, turned, strict=True)),
                before=len(early),
                grokked=sum(name in run.curves for run in grokked),
                turned_without=sum(name in found[run.name] for run in others),
                without=sum(name in run.curves for run in others),
            )
        )
    return sorted(signs, key=lambda sign: (-sign.lead, sign.name))
