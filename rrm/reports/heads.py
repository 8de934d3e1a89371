"""The report of a study of heads: which heads a training changes, how many carry it, which layers move, what rank."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rrm.figures.heads import heads_figure, map_figure
from rrm.jobs.heads import OTHER_ORDER, RANDOM_LABELS
from rrm.reports.head_metrics import head_metrics
from rrm.reports.head_study import AFTER, AGAINST, RANKS, HeadStudy, among, find, medians, ranges, trainings
from rrm.reports.report import Report
from rrm.statistics.heads import (
    INTEGRATOR,
    RANGES,
    ROLES,
    HeadRole,
    Lost,
    Moved,
    concentration,
    head_roles,
    lost,
    moved,
    roles_by_ablation,
    solved_from_failed,
    tenth,
)
from rrm.statistics.hypotheses import LEVEL
from rrm.statistics.weight_change import WeightChange, by_kind
from rrm.tasks.head_summary import PASS, HeadSummary
from rrm.terminal.table import table


def report(study: HeadStudy) -> Report:
    """Tables, figures and the plain answers."""
    summary, first = study.summary, study.others[0]
    null = study.of(OTHER_ORDER) if OTHER_ORDER in study.others and first != OTHER_ORDER else None
    changes = moved(study.of(first), null)
    whole, before = float(study.right.mean()), study.accuracy[first]
    carried = [*lost(study.ablations, study.ablated, whole, before), *_needed(study, before)]
    by_null = head_roles(summary.mean_lift(AFTER), summary.high[0], summary.pattern_names)
    roles = roles_by_ablation(by_null, study.ablations, study.ablated, study.right)
    said = Report()
    said.sentences = [
        _opening(study, first, whole, before),
        *_which(study, first, changes, null is not None),
        _concentrated(study, changes, carried),
        _by_chance(carried),
        *_kinds(study),
        *_ranks(study),
        _looks(study, first),
        *_roles(study, roles),
        *_over_calls(study),
        *_outcomes(study),
        *_against(study),
    ]
    said.tables["heads; log lift in nats, * outside of the 95 % band of the null"] = _head_table(study, changes, roles)
    said.tables["share of the gain that goes without heads"] = _lost_table(carried)
    if study.weights:
        said.tables["changes of weights; medians over matrices"] = _weight_table(study)
    said.metrics = head_metrics(study, changes, carried, roles, whole, before)
    title = f"{summary.label}, {first} to after"
    said.figures["heads"] = heads_figure(summary, changes, carried, first, title)
    if summary.maps.size:
        said.figures["maps"] = map_figure(summary, [(one.layer, one.head) for one in changes[:4]], first)
    said.places = ["page      python -m rrm explore, tab Heads"]
    return said


def _needed(study: HeadStudy, before: float) -> list[Lost]:
    """The heads that were missed most on the first half of the puzzles, and random ones, on the second half alone."""
    rest = len(study.without)
    right = np.concatenate([study.ablated[-rest:], study.without], 1)
    found = lost([*study.ablations, *study.needed], right, float(study.right[-rest:].mean()), before)
    return [replace(one, chosen="random, second half") if one.chosen == "random" else one for one in found
            if one.chosen in ("needed", "random")]  # fmt: skip


def _by_chance(carried: Sequence[Lost]) -> str:
    """The null of the causal test: what random tenths cost."""
    top, needed, sets = among(carried, "top"), among(carried, "needed"), find(carried, "random").sets
    if not math.isfinite(top.place):
        return "Nothing was gained, so that no heads carry anything."
    return (
        f"Among {len(sets)} random tenths, the tenth that changes most costs more than {100 * top.place:.0f} % of them "
        f"(permutation p = {top.p:.2g}), and the tenth that is missed most more than {100 * needed.place:.0f} % "
        f"(p = {needed.p:.2g}); a random one costs more than 50 %."
    )


def _head(summary: HeadSummary, layer: int, head: int) -> str:
    return f"{summary.layer_names[layer]}.{head}"


def _opening(study: HeadStudy, first: str, whole: float, before: float) -> str:
    s = study.summary
    things, one_pass = ("pairs", True) if s.calls == PASS else ("puzzles", False)
    calls = "one pass" if one_pass else f"{s.segments} segments of {len(s.calls)} calls"
    return (
        f"{s.label}: {s.solved} of {s.puzzles} {things} solved ({100 * whole:.1f} %), {100 * before:.1f} % by the "
        f"weights {first!r}; {len(s.layer_names)} layers of {s.lift.shape[3]} heads, {calls}; {things} {s.probe[:12]}."
    )


def _which(study: HeadStudy, first: str, changes: Sequence[Moved], null: bool) -> list[str]:
    summary = study.summary
    top = ", ".join(f"{_head(summary, one.layer, one.head)} ({one.change.estimate:.3f})" for one in changes[:3])
    by_range = {name: np.nanmean(summary.change(first)[where]) for name, where in ranges(summary).items()}
    calls = "; calls: " + ", ".join(f"{name} {value:.3f}" for name, value in by_range.items()) if by_range else ""
    said = [f"Which heads: most change {top} (divergence from {first}, nats, at most {math.log(2):.2f}){calls}."]
    if null:
        changed = sum(one.changed for one in changes)
        other = np.nanmean(study.of(OTHER_ORDER))
        mean = np.mean([one.change.estimate for one in changes])
        said.append(
            f"{changed} of {len(changes)} heads change more than another order of the puzzles moves them: {mean:.3f} "
            f"nats against {other:.3f} in the mean."
        )
        if not study.aligned[OTHER_ORDER]:
            said.append(f"{OTHER_ORDER} began with other weights, so that its heads are not those of the training.")
    else:
        said.append("No training of another order is known, so nothing says how far heads move by chance (--null).")
    return said


def _concentrated(study: HeadStudy, changes: Sequence[Moved], carried: Sequence[Lost]) -> str:
    summary = study.summary
    shared = concentration([one.change.estimate for one in changes])
    top, random = (find(carried, chosen) for chosen in ("top", "random"))
    count = tenth(shared.heads)
    named = ", ".join(_head(summary, one.layer, one.head) for one in changes[:count])
    needed = find(carried, "needed")
    missed = ", ".join(_head(summary, *place) for place in np.argwhere(study.needed[0].off.any(0)).tolist())
    said = (
        f"Concentrated or not: the first head has {100 * shared.top:.0f} % of the change ({100 / shared.heads:.0f} % "
        f"if all changed alike), Gini {shared.gini:.2f}."
    )
    if not math.isfinite(top.share):
        return said
    return (
        f"{said} Without the tenth that changes most ({named}) "
        f"{100 * top.share:.0f} % of the gain is lost, without a random tenth {100 * random.share:.0f} % "
        f"({100 * random.least:.0f} to {100 * random.most:.0f} in {len(random.sets)} draws), and without the tenth "
        f"that is missed most ({missed}, chosen on other puzzles) {100 * needed.share:.0f} %."
    )


def _own(study: HeadStudy) -> Sequence[WeightChange]:
    """The changes of weights that a study is of."""
    return study.weights.get(study.others[0], ())


def _kinds(study: HeadStudy) -> list[str]:
    kinds = {kind: float(np.median([one.moved for one in of])) for kind, of in by_kind(_own(study)).items()}
    kinds = {kind: value for kind, value in kinds.items() if math.isfinite(value)}
    if not kinds:
        return []
    order = sorted(kinds, key=lambda kind: -kinds[kind])
    listed = ", ".join(f"{kind} {kinds[kind]:.2f}" for kind in order)
    said = f"Which kind of layer: the weights of {order[0]} move most, for their size ({listed}; median over matrices)"
    if RANDOM_LABELS in study.weights:
        control = {kind: float(np.median([one.moved for one in of])) for kind, of in
                   by_kind(study.weights[RANDOM_LABELS]).items()}  # fmt: skip
        listed = ", ".join(f"{kind} {kinds[kind] / control[kind]:.2f}" for kind in order if control.get(kind))
        said += f"; over the same with random labels: {listed}"
    return [f"{said}."]


def _ranks(study: HeadStudy) -> list[str]:
    said = []
    control = by_kind(study.weights.get(RANDOM_LABELS, ()))
    for kind, of in by_kind(_own(study)).items():
        if kind not in ("attention", "delta rule", "feed-forward"):
            continue
        words = ", ".join(f"{RANKS[name]} {value:.1f}" for name, value in medians(of).items())
        if kind in control:
            words += "; with random labels " + ", ".join(f"{value:.1f}" for value in medians(control[kind]).values())
        said.append(
            f"What rank: changes of {kind} have {words} of {np.median([one.full for one in of]):.0f} (medians)."
        )
    return said


def _looks(study: HeadStudy, first: str) -> str:
    """What heads look at, after and before."""
    lifts = [np.nanmean(study.summary.mean_lift(name), (0, 1)) for name in (AFTER, first)]
    with np.errstate(divide="ignore"):
        after, before = np.log(lifts)
    words = (f"{name} {a:.2f} ({first} {b:.2f})" for name, a, b in
             zip(study.summary.pattern_names, after, before, strict=True))  # fmt: skip
    return f"What heads look at, log of the mean lift over heads and calls: {', '.join(words)}."


def _roles(study: HeadStudy, roles: Sequence[HeadRole]) -> list[str]:
    summary, said = study.summary, []
    if not any(name in summary.pattern_names for names in ROLES.values() for name in names):
        return []
    for name in (*ROLES, INTEGRATOR):
        of = [one for one in roles if name in one.roles]
        needed = sum(one.needed for one in of)
        said.append(f"{name} {len(of)} heads by the null ({needed} of them needed)")
    text = f"Roles: {', '.join(said)}; needed: alone switched off, it loses more puzzles than chance after Holm."
    if OTHER_ORDER in study.others and study.aligned[OTHER_ORDER]:
        number = summary.names.index(OTHER_ORDER)
        again = head_roles(summary.mean_lift(OTHER_ORDER), summary.high[number], summary.pattern_names)
        same = sum(one.roles == again[one.layer, one.head] for one in roles)
        text += f" With the puzzles in another order {same} of {len(roles)} heads have the same roles."
    return [text]


def _over_calls(study: HeadStudy) -> list[str]:
    """Whether early calls look nearby and late ones far away."""
    summary = study.summary
    near = next((name for name in ("peers", "neighbours") if name in summary.pattern_names), None)
    if near is None or not ranges(summary):
        return []
    p, parts = summary.pattern_names.index(near), ranges(summary)
    lift = {name: math.log(np.nanmean(summary.lift[0, where][..., p])) for name, where in parts.items()}
    spread = {name: float(np.nanmean(summary.entropy[0, where])) for name, where in parts.items()}
    words = ", ".join(f"{name} {lift[name]:.2f} and {spread[name]:.2f}" for name in RANGES)
    return [f"Over calls: log lift on {near}, and entropy of a row in nats: {words}."]


def _outcomes(study: HeadStudy) -> list[str]:
    """What heads look at on solved puzzles and not on failed ones."""
    found = solved_from_failed(study.looks, study.right)
    if not any(math.isfinite(one.p) for one in found):
        return []
    names = study.summary.pattern_names
    words = ", ".join(f"{name} {one.difference:+.3f}{'*' * (one.p < LEVEL)}" for name, one in
                      zip(names, found, strict=True) if math.isfinite(one.p))  # fmt: skip
    return [f"Solved minus failed puzzles, log lift, mean over heads and calls (* by Welch after Holm): {words}."]


def _against(study: HeadStudy) -> list[str]:
    """How far the heads of the other trainings are away."""
    said = []
    for name in trainings(study):
        value, words = float(np.nanmean(study.of(name))), ""
        if OTHER_ORDER in study.others:
            both = moved(study.of(name), study.of(OTHER_ORDER))
            words = (
                f", against {np.nanmean(study.of(OTHER_ORDER)):.3f} by another order: "
                f"{sum(one.changed for one in both)} of {len(both)} heads are farther away than chance"
            )
        called = "The other training" if name == AGAINST else f"Trained {name}"
        text = f"{called} ({100 * study.accuracy[name]:.1f} % solved): heads are {value:.3f} nats away{words}."
        if not study.aligned[name]:
            text += " It began with other weights, so that head n of one is not that of the other."
        said.append(text)
    return said


def _head_table(study: HeadStudy, changes: Sequence[Moved], roles: Sequence[HeadRole]) -> list[str]:
    summary = study.summary
    lift = summary.log_lift(AFTER)
    alone = {(one.layer, one.head): one for one in roles}
    rows = []
    for one in changes:
        place = one.layer, one.head
        cells = {}
        for p, name in enumerate(summary.pattern_names):
            value = float(summary.mean_lift(AFTER)[(*place, p)])
            outside = value < summary.low[(0, *place, p)] or value > summary.high[(0, *place, p)]
            cells[name] = f"{lift[(*place, p)]:.2f}{'*' if outside else ' '}"
        role = alone[place]
        rows.append(
            {
                "head": _head(summary, *place),
                "change": f"{one.change.estimate:.3f}",
                "beyond chance": "-" if one.beyond is None else f"{one.beyond.estimate:+.3f}{'*' * one.changed}",
                "lost alone": f"{100 * role.lost:.1f} %{'*' * role.needed}",
                **cells,
                "entropy": f"{np.nanmean(summary.entropy[0], 0)[place]:.2f}",
                "role": ", ".join(role.roles),
            }
        )
    return table(rows)


def _lost_table(carried: Sequence[Lost]) -> list[str]:
    rows = []
    for one in (one for one in carried if one.chosen == "top"):
        random = find(carried, "random", one.unit, one.calls, one.kind)
        needed = [
            of for of in carried if (of.chosen, of.unit, of.calls, of.kind) == ("needed", one.unit, one.calls, one.kind)
        ]
        rows.append(
            {
                "switched off": f"a tenth of the heads{' in single calls' * (one.unit == 'call')}",
                "calls": one.calls,
                "by": one.kind,
                "changed most": f"{100 * one.share:.0f} %",
                "at random": f"{100 * random.share:.0f} % ({100 * random.least:.0f} to {100 * random.most:.0f})",
                "missed most": f"{100 * needed[0].share:.0f} %" if needed else "-",
            }
        )
    return table(rows)


def _weight_table(study: HeadStudy) -> list[str]:
    rows = []
    for name, changes in study.weights.items():
        for kind, of in by_kind(changes).items():
            of_ranks = {RANKS[name]: f"{value:.1f}" for name, value in medians(of).items()}
            size = float(np.median([one.moved for one in of]))
            rows.append({"change": name, "layers": kind, "matrices": str(len(of)), "moved": f"{size:.2f}", **of_ranks,
                         "at most": f"{np.median([one.full for one in of]):.0f}"})  # fmt: skip
    return table(rows)
