"""Numbers of heads over training seeds, each beside its null, as a study writes them down. Read without torch."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

from rrm.errors import InputError
from rrm.files import read_object, replacing
from rrm.statistics.hypotheses import mean_over_seeds
from rrm.statistics.interval import Interval

SEEDS = "head_seeds.json"
REMEDY = "restore it from a copy, or run the study of the sweep again"


@dataclass(frozen=True)
class Measure:
    """One number of every seed.

    Attributes:
        group: what it is a part of, such as "share of the gain that goes".
        words: what is measured.
        values: by seed.
        null: by seed, the same where there is nothing; empty without a null.
        against: what the null is.
        unit: "%" for fractions, "nats", or "".
        answers: whether its difference from the null is one of the tests that answer the questions.
    """

    group: str
    words: str
    values: Mapping[int, float]
    null: Mapping[int, float]
    against: str = ""
    unit: str = ""
    answers: bool = False

    @property
    def factor(self) -> float:
        """By which printed numbers differ from the values."""
        return 100.0 if self.unit == "%" else 1.0

    @cached_property
    def mean(self) -> Interval:
        """Over seeds, with the 95 % interval of Student's t."""
        return mean_over_seeds([*self.values.values()])

    @cached_property
    def chance(self) -> float:
        """Mean of the null over seeds; nan without one."""
        return sum(self.null.values()) / len(self.null) if self.null else math.nan

    @cached_property
    def difference(self) -> Interval | None:
        """Value minus null of the seeds that have both; None without such a seed."""
        pairs = [value - self.null[seed] for seed, value in self.values.items() if seed in self.null]
        return mean_over_seeds(pairs) if pairs else None


def save_measures(measures: Sequence[Measure], path: Path) -> None:
    """Write measures; the file appears whole or not at all."""
    with replacing(path) as unfinished:
        told = {"measures": [asdict(one) for one in measures]}
        unfinished.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def load_measures(path: Path) -> list[Measure]:
    """The measures that `save_measures` wrote; InputError for any other file."""
    try:
        found = [Measure(**one) for one in read_object(path, REMEDY)["measures"]]
        return [_by_number(one) for one in found if one.values]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InputError(f"{path} holds no measures of heads: {REMEDY}") from None


def _by_number(one: Measure) -> Measure:
    values, null = ({int(seed): float(value) for seed, value in of.items()} for of in (one.values, one.null))
    return Measure(str(one.group), str(one.words), values, null, str(one.against), str(one.unit), bool(one.answers))
