"""The report of the heads of a sweep: what the studies of its seeds say together, in answer to four questions."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from rrm.figures.head_seeds import seeds_figure
from rrm.jobs.heads import OTHER_ORDER, RANDOM_LABELS
from rrm.reports.head_metrics import metric_name
from rrm.reports.head_study import BEFORE, RANKS
from rrm.reports.metrics import interval_metrics
from rrm.reports.report import Report
from rrm.statistics.head_seeds import Measure
from rrm.statistics.heads import RANGES
from rrm.statistics.hypotheses import Verdicts, detectable, p_value
from rrm.terminal.table import table

# The goal: what the tenth that changes most should carry of the gain, and a random tenth at most.
MUCH, LITTLE = 0.8, 0.2
MIXERS = ("attention", "delta rule")
WHICH, CONCENTRATED, CARRIED, AMONG, KIND, RANK, LOOKS, ABOVE, APART, ARMS, ACCURACY = (
    "which heads: divergence from the first weights",
    "concentrated or not: shares of the change",
    "share of the gain that goes without heads",
    "place among random tenths",
    "which kind of layer: movement of weights over their norm",
    "what rank: of changes of weights",
    "what heads look at: log lift, mean over heads",
    "heads that look at a pattern more than its null band",
    "solved minus failed puzzles: log lift",
    "other trainings: divergence of their heads from the baseline's",
    "accuracy of other trainings",
)  # fmt: skip
_CHANGED, _FIRST, _GINI = "share of heads beyond chance", "share of the first head", "Gini over heads"
_ORDER, _LABELS, _RANDOM = "another order", "random labels", "a random tenth"


@dataclass(frozen=True)
class SweptHeads:
    """The studies of a sweep.

    Attributes:
        label: of the sweep.
        found: by seed the metrics of its study (`rrm.reports.heads`) without their first part.
        arms: names of the other trainings.
    """

    label: str
    found: Mapping[int, Mapping[str, float]]
    arms: Sequence[str]

    @cached_property
    def measures(self) -> list[Measure]:
        """All numbers that some seed has."""
        return [one for one in self._every() if one.values]

    def _every(self) -> Iterator[Measure]:
        order = f"divergence/{metric_name(OTHER_ORDER)}"
        yield self._one(WHICH, "all heads", f"divergence/{BEFORE}", order, _ORDER, "nats", True)
        for layer in self._names("change_of/"):
            yield self._one(WHICH, f"layer {layer}", f"change_of/{layer}", f"by_chance_of/{layer}", _ORDER, "nats")
        for name in RANGES:
            yield self._one(WHICH, f"{name} calls", f"change_in/{name}", f"by_chance_in/{name}", _ORDER, "nats")
        yield self._one(CONCENTRATED, _CHANGED, "changed", None)
        yield self._one(CONCENTRATED, _FIRST, "top_share", "top_share_by_chance", _ORDER)
        yield self._one(CONCENTRATED, _GINI, "gini", "gini_by_chance", _ORDER, "", True)
        for words, unit, calls, kind in (
            ("", "head", "all", "zero"), (", by their mean", "head", "all", "mean"),
            *((f", {name} calls", "head", name, "zero") for name in RANGES), (", single calls", "call", "all", "zero"),
        ):  # fmt: skip
            key = f"{unit}_{calls}_{kind}"
            null = f"lost/random_{key}"
            yield self._one(CARRIED, f"changed most{words}", f"lost/top_{key}", null, _RANDOM, "%", not words)
            if unit == "head" and calls == "all":
                null = f"lost/random_second_half_{key}"
                yield self._one(CARRIED, f"missed most{words}", f"lost/needed_{key}", null, _RANDOM, "%", not words)
                yield self._one(CARRIED, f"at random{words}", f"lost/random_{key}", None, "", "%")
        for words, chosen in (("changed most", "top"), ("missed most", "needed"), ("one at random", "drawn")):
            yield self._one(AMONG, words, f"among/{chosen}", 0.5, "a random place", "%", chosen != "drawn")
        for kind in self._names(f"moved/{BEFORE}/"):
            control = f"moved/{metric_name(RANDOM_LABELS)}/{kind}"
            yield self._one(KIND, kind.replace("_", " "), f"moved/{BEFORE}/{kind}", control, _LABELS)
        for mixer in MIXERS:
            key = f"moved/{BEFORE}/{metric_name(mixer)}"
            if any(key in of for of in self.found.values()):
                moved = f"moved/{BEFORE}/feed-forward"
                yield self._one(KIND, f"feed-forward against {mixer}", moved, key, mixer, "", True)
        for kind in (*MIXERS, "feed-forward"):
            for rank, words in RANKS.items():
                key = f"{metric_name(kind)}/{rank}"
                control = f"rank/{metric_name(RANDOM_LABELS)}/{key}"
                asked = kind in MIXERS and rank in ("effective", "stable")
                yield self._one(RANK, f"{kind}: {words}", f"rank/{BEFORE}/{key}", control, _LABELS, "", asked)
        for group, part, unit in ((LOOKS, "lift", "nats"), (ABOVE, "above", "%")):
            for name in self._names(f"{part}/after/"):
                key = f"{part}/after/{name}"
                yield self._one(group, name.replace("_", " "), key, f"{part}/before/{name}", "first weights", unit)
        for name in self._names("apart/"):
            yield self._one(APART, name.replace("_", " "), f"apart/{name}", 0.0, "no difference", "nats")
        for group, part, null, against, unit in (
            (ARMS, "divergence", order, _ORDER, "nats"), (ACCURACY, "accuracy_of", "accuracy", "baseline", "%"),
        ):  # fmt: skip
            arms = self.arms if part == "divergence" else [OTHER_ORDER, RANDOM_LABELS, *self.arms]
            for arm in arms:
                yield self._one(group, arm, f"{part}/{metric_name(arm)}", null, against, unit, group == ARMS)

    def _names(self, front: str) -> list[str]:
        return list(dict.fromkeys(key.removeprefix(front) for of in self.found.values() for key in of
                                  if key.startswith(front)))  # fmt: skip

    def _one(
        self, group: str, words: str, key: str, null: str | float | None, against: str = "", unit: str = "",
        answers: bool = False,
    ) -> Measure:  # fmt: skip
        """A metric of every seed beside another one, or beside a number."""
        values = {seed: of[key] for seed, of in self.found.items() if key in of}
        if isinstance(null, str):
            chance = {seed: self.found[seed][null] for seed in values if null in self.found[seed]}
        else:
            chance = {} if null is None else dict.fromkeys(values, null)
        return Measure(group, words, values, chance, against, unit, answers)

    def find(self, group: str, words: str) -> Measure | None:
        """The measure of this name; None without one."""
        return next((one for one in self.measures if (one.group, one.words) == (group, words)), None)

    def of(self, group: str) -> list[Measure]:
        """The measures of a group."""
        return [one for one in self.measures if one.group == group]


def report(swept: SweptHeads) -> Report:
    """One table a group, a figure, and the plain answers."""
    said = Report(Verdicts([one.difference for one in swept.measures if one.answers and one.difference is not None]))
    for group in dict.fromkeys(one.group for one in swept.measures):
        rows = [_row(one, said.verdicts) for one in swept.of(group)]
        said.tables[f"{group}; over seeds, each 95 % interval by itself"] = table(rows)
    answers = (_which, _concentrated, _goal, _kind, _rank, _looks, _apart, _arms)
    said.sentences = [sentence for answer in answers for sentence in answer(swept, said.verdicts)]
    said.sentences.append(
        f"Detectable is a difference that {len(swept.found)} seeds find 4 times in 5. Holm's correction is over the "
        f"{said.verdicts.tests} tests that answer the questions; all other numbers stand by themselves."
    )
    for one in swept.measures:
        said.metrics |= interval_metrics(f"heads/over_seeds/{one.group.partition(':')[0]}/{one.words}", one.mean)
    said.metrics = {name: value for name, value in said.metrics.items() if math.isfinite(value)}
    said.figures["head_seeds"] = seeds_figure(swept.label, swept.measures, {CARRIED: (LITTLE, MUCH)})
    return said


def _row(one: Measure, verdicts: Verdicts) -> dict[str, str]:
    factor, places = one.factor, 1 if one.unit == "%" else 2 if one.unit != "nats" else 3
    found = one.difference
    return {
        "measure": one.words,
        "seeds": str(len(one.values)),
        f"mean{f', {one.unit}' * bool(one.unit)}": f"{one.mean * factor:.{places}f}",
        "null": f"{factor * one.chance:.{places}f}" if one.null else "-",
        "is": one.against or "-",
        "difference": "-" if found is None else f"{found * factor:+z.{places}f}",
        "p": "-" if found is None or math.isnan(p := p_value(found)) else f"{p:.2g}",
        "p (Holm)": "-" if not one.answers or found is None or math.isnan(p := verdicts.p(found)) else f"{p:.2g}",
        "detectable": "-" if found is None or math.isnan(d := detectable(found)) else f"{factor * d:.{places}f}",
    }


def _against(one: Measure, verdicts: Verdicts) -> str:
    """The effect with its interval, its null and what could have been found."""
    unit = {"%": " points", "nats": " nats", "": ""}[one.unit]
    places = 1 if one.unit == "%" else 2 if one.unit != "nats" else 3
    text = f"{one.mean * one.factor:.{places}f}{f' {one.unit}' * bool(one.unit)}"
    if one.difference is None:
        return text
    found = one.difference
    text += f" against {one.factor * one.chance:.{places}f} ({one.against}), difference "
    text += f"{found * one.factor:+z.{places}f}{unit}"
    if math.isfinite(size := detectable(found)):
        text += f" (detectable {float(f'{one.factor * size:.2g}'):g}; "
        text += f"p = {p_value(found):.2g}{f', {verdicts.p(found):.2g} after Holm' * one.answers})"
    return text


def _which(swept: SweptHeads, verdicts: Verdicts) -> list[str]:
    whole, changed = swept.find(WHICH, "all heads"), swept.find(CONCENTRATED, _CHANGED)
    if whole is None:
        return []
    said = f"Which heads: divergence {_against(whole, verdicts)}"
    if changed:
        said += f"; {changed.mean * 100:.0f} % of the heads change more than another order moves them, one by one"
    parts = [one for one in swept.of(WHICH) if one is not whole]
    if parts:
        said += "; " + ", ".join(f"{one.words} {one.mean:.3f}" for one in parts)
    return [f"{said}."]


def _concentrated(swept: SweptHeads, verdicts: Verdicts) -> list[str]:
    said = []
    for words in (_FIRST, _GINI):
        if one := swept.find(CONCENTRATED, words):
            said.append(f"{words} {_against(one, verdicts)}")
    for words, which in (("changed most", "that changes most"), ("missed most", "that is missed most")):
        if one := swept.find(CARRIED, words):
            said.append(f"the gain that goes without the tenth {which} is {_against(one, verdicts)}")
        if one := swept.find(AMONG, words):
            above = sum(value > 0.95 for value in one.values.values())
            said.append(f"which costs more than {one.mean * 100:.0f} % of random tenths do (null 50), and more than "
                        f"95 % of them in {above} of {len(one.values)} seeds")  # fmt: skip
    return [f"Concentrated or not: {'; '.join(said)}."] if said else []


def _goal(swept: SweptHeads, verdicts: Verdicts) -> list[str]:
    """Whether the tenth that changes most carries 80 % of the gain, and a random tenth at most 20 %."""
    top, random = swept.find(CARRIED, "changed most"), swept.find(CARRIED, "at random")
    if top is None or random is None:
        return []
    both = sum(top.values[seed] >= MUCH and random.values.get(seed, math.nan) <= LITTLE for seed in top.values)
    if top.mean.low >= MUCH and random.mean.high <= LITTLE:
        verdict = "reached"
    elif top.mean.high < MUCH or random.mean.low > LITTLE:
        verdict = "not reached"
    else:
        verdict = "open, an interval holds its bound"
    return [
        f"Goal, the tenth that changes most carries {100 * MUCH:.0f} % of the gain and a random tenth at most "
        f"{100 * LITTLE:.0f} %: {verdict}. It carries {top.mean * 100:.0f} %, a random tenth "
        f"{random.mean * 100:.0f} %; {both} of {len(top.values)} seeds reach both."
    ]


def _kind(swept: SweptHeads, verdicts: Verdicts) -> list[str]:
    kinds = [one for one in swept.of(KIND) if " against " not in one.words]
    if not kinds:
        return []
    order = sorted(kinds, key=lambda one: -one.mean.estimate)
    said = ", ".join(f"{one.words} {one.mean:.2f}" + f" (random labels {one.chance:.2f})" * bool(one.null)
                     for one in order)  # fmt: skip
    said = f"Which kind of layer: for their size, weights of {order[0].words} move most: {said}"
    for one in swept.of(KIND):
        if " against " in one.words:
            said += f"; {one.words}: {_against(one, verdicts)}"
    return [f"{said}."]


def _rank(swept: SweptHeads, verdicts: Verdicts) -> list[str]:
    said = []
    for kind in MIXERS:
        found = [one for one in swept.of(RANK) if one.words.startswith(f"{kind}: ")]
        if found:
            words = "; ".join(f"{one.words.partition(': ')[2]} {_against(one, verdicts)}" for one in found)
            said.append(f"What rank: changes of {kind} have {words}.")
    return said


def _looks(swept: SweptHeads, verdicts: Verdicts) -> list[str]:
    said = [f"{one.words} {one.mean:.2f} (before {one.chance:.2f})" for one in swept.of(LOOKS)]
    above = [f"{one.words} {one.mean * 100:.0f} % (before {100 * one.chance:.0f} %)" for one in swept.of(ABOVE)]
    text = f"Patterns, log lift in nats: {', '.join(said)}" if said else ""
    return [f"{text}; heads above the null band: {', '.join(above)}." if above else f"{text}."] if said else []


def _apart(swept: SweptHeads, verdicts: Verdicts) -> list[str]:
    said = [f"{one.words} {one.mean:+.3f}" for one in swept.of(APART)]
    return [f"Solved minus failed puzzles, log lift in nats: {', '.join(said)}."] if said else []


def _arms(swept: SweptHeads, verdicts: Verdicts) -> list[str]:
    said = []
    for one in swept.of(ARMS):
        solved = swept.find(ACCURACY, one.words)
        text = f"Trained {one.words}: divergence from the baseline {_against(one, verdicts)}"
        said.append(f"{text}; solves {solved.mean * 100:.1f} %." if solved else f"{text}.")
    return said
