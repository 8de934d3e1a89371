"""The record of a finished trial: an entry of trials.json. Light to import."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rrm.jobs.spec import Config


@dataclass(frozen=True)
class Arm:
    """The unit of comparison: a configuration without model and seed.

    Attributes:
        name: name of the arm; equal names mean one arm.
        baseline: all other arms of the model type are compared with this one.
        settings: the settings that define the arm, by name, as plain values.
    """

    name: str
    baseline: bool
    settings: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for `from_dict`."""
        return {"arm": self.name, "baseline": self.baseline, "settings": self.settings}

    @classmethod
    def from_dict(cls, known: dict[str, Any]) -> Arm:
        """The arm of a record; rrm once kept its settings without saying which arm is the baseline."""
        if "baseline" in known:
            return cls(known["arm"], known["baseline"], known["settings"])
        settings = {name: value for name, value in known.items() if name != "arm"}
        return cls(known["arm"], settings["kind"] == settings["flossing"] == "none", settings)


# Keys in a checkpoint's description of its best weights that are no scores.
_HOW_AND_WHEN = ("step", "call_units", "model", "segments")


@dataclass(frozen=True)
class TrialRecord:
    """A finished trial.

    Attributes:
        name: its name in folders, tables and MLflow. config: the configuration, with "model", "seed" and "trial". arm:
        the arm to which it belongs in comparisons. drawn: a search drew the configuration and chooses by this very run.
        failed: the reason of a failure in one line; "" without a failure. checkpoint: path of the last checkpoint,
        relative to the folder of the job, which may be moved; None without one. evaluation: number of evaluations done.
        stopped_early: it was stopped before the end of its budget. objectives: values in its last report, by name; None
        for a missing one. seconds: seconds of training and evaluation, {"train": ..., "evaluate": ...}. data: the key
        of its data; "" where the sweep has one set, None where its objective brought the data. best, final: scores,
        step and model of the weights that were best on validation, and of the last ones; empty
            without a checkpoint.
        call_units: compute of training: a forward call of the network on one row is 1, a backward call 2; None where
            it was not counted.
        finished: {"puzzles": how many halted in training, "segments": how many segments they took in all, 0 for a model
            without segments}; None where they were not counted.
        curve: the score by which weights are chosen, on validation, by evaluation; evaluations are evenly spaced in the
            budget.
    """

    name: str
    config: Config
    arm: Arm
    drawn: bool = False
    failed: str = ""
    checkpoint: str | None = None
    evaluation: int = 0
    stopped_early: bool = False
    objectives: dict[str, float | None] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=lambda: {"train": 0.0, "evaluate": 0.0})
    data: str | None = ""
    best: dict[str, Any] = field(default_factory=dict)
    final: dict[str, Any] = field(default_factory=dict)
    call_units: float | None = None
    finished: dict[str, int] | None = None
    curve: list[float] = field(default_factory=list)

    @property
    def model(self) -> str:
        """The model type."""
        return self.config["model"]

    @property
    def group(self) -> str:
        """The trials that can be compared with this one: those of its model type on the same data."""
        return f"{self.model} on {self.data}" if self.data else self.model

    @property
    def segments_per_puzzle(self) -> float | None:
        """Mean number of segments of the puzzles that finished; None where none did, or without segments."""
        if not self.finished or not self.finished["segments"]:
            return None
        return self.finished["segments"] / self.finished["puzzles"]

    @property
    def label(self) -> str:
        """How figures and sentences call the trial."""
        return f"{self.group}, {self.arm.name}"

    @property
    def rank(self) -> tuple[float, ...]:
        """By which trials are ordered, the best one last: the scores by which their objective ranks weights, in turn.

        A checkpoint has no other scores of its best weights, and has them in this order.
        """
        return tuple(value for name, value in self.best.items() if name not in _HOW_AND_WHEN)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for `from_dict`; keys that a trial without a checkpoint lacks are left out."""
        content: dict[str, Any] = {
            name: getattr(self, name)
            for name in ("name", "config", "arm", "drawn", "failed", "checkpoint", "evaluation", "stopped_early")
        }
        content |= {"arm": self.arm.to_dict(), "objectives": self.objectives, "seconds": self.seconds}
        content |= {"data": self.data} if self.data != "" else {}
        if self.checkpoint:
            content |= {name: getattr(self, name) for name in ("best", "final", "call_units", "finished", "curve")}
        return content

    @classmethod
    def from_dict(cls, known: dict[str, Any]) -> TrialRecord:
        """The record of an entry of trials.json, of any version of rrm."""
        return cls(**known | {"arm": Arm.from_dict(known["arm"])})


def choose(trials: list[TrialRecord]) -> TrialRecord:
    """The best trial on validation, the first of several that are level."""
    return max(trials, key=lambda trial: trial.rank)
