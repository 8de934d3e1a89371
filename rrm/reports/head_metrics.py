"""The numbers of a study of heads, as metrics of its run; a study of a sweep reads them back."""

import math
import re
from collections.abc import Sequence

import numpy as np

from rrm.jobs.heads import OTHER_ORDER
from rrm.reports.head_study import AFTER, HeadStudy, among, find, medians, ranges, trainings
from rrm.reports.metrics import interval_metrics
from rrm.statistics.heads import (
    INTEGRATOR,
    ROLES,
    HeadRole,
    Lost,
    Moved,
    among_random,
    concentration,
    moved,
    solved_from_failed,
)
from rrm.statistics.weight_change import by_kind


def head_metrics(
    study: HeadStudy,
    changes: Sequence[Moved],
    carried: Sequence[Lost],
    roles: Sequence[HeadRole],
    whole: float,
    before: float,
) -> dict[str, float]:
    shared = concentration([one.change.estimate for one in changes])
    found = {
        "heads/accuracy": whole,
        "heads/gain": whole - before,
        "heads/heads": float(shared.heads),
        "heads/change": float(np.mean([one.change.estimate for one in changes])),
        "heads/top_share": shared.top,
        "heads/gini": shared.gini,
    }
    summary, first = study.summary, study.others[0]
    for y, layer in enumerate(summary.layer_names):
        found[f"heads/change_of/{layer}"] = float(np.nanmean(study.of(first)[:, :, y]))
    for name, where in ranges(summary).items():
        found[f"heads/change_in/{name}"] = float(np.nanmean(study.of(first)[:, where]))
    for name in study.others:
        found[f"heads/divergence/{name}"] = float(np.nanmean(study.of(name)))
        found[f"heads/accuracy_of/{name}"] = study.accuracy[name]
    if OTHER_ORDER in study.others and first != OTHER_ORDER:
        null = study.of(OTHER_ORDER)
        for y, layer in enumerate(summary.layer_names):
            found[f"heads/by_chance_of/{layer}"] = float(np.nanmean(null[:, :, y]))
        for name, where in ranges(summary).items():
            found[f"heads/by_chance_in/{name}"] = float(np.nanmean(null[:, where]))
        chance = concentration(np.nanmean(null, (0, 1)))
        found |= {"heads/top_share_by_chance": chance.top, "heads/gini_by_chance": chance.gini}
        for name in trainings(study):
            both = moved(study.of(name), study.of(OTHER_ORDER))
            found[f"heads/farther/{name}"] = float(np.mean([one.changed for one in both]))
    if changes[0].beyond is not None:
        found["heads/changed"] = float(np.mean([one.changed for one in changes]))
    for one in carried:
        found[f"heads/lost/{one.chosen}_{one.unit}_{one.calls}_{one.kind}"] = one.share
    # One random tenth in the place of the tenth that changes most: what the tests find where there is nothing.
    drawn, *others = find(carried, "random").sets
    found |= {
        "heads/lost/drawn_head_all_zero": drawn,
        "heads/lost/others_head_all_zero": float(np.mean(others)) if others else math.nan,
        "heads/among/drawn": among_random(drawn, others).place,
    }
    for chosen in ("top", "needed"):
        place = among(carried, chosen)
        found |= {f"heads/among/{chosen}": place.place, f"heads/among/{chosen}_p": place.p}
    found |= _pattern_metrics(study)
    for name in (*ROLES, INTEGRATOR):
        of = [one for one in roles if name in one.roles]
        found[f"heads/roles/{name}"] = len(of) / len(roles)
        found[f"heads/needed/{name}"] = sum(one.needed for one in of) / len(roles)
    for name, changed in study.weights.items():
        for kind, matrices in by_kind(changed).items():
            found |= {f"heads/rank/{name}/{kind}/{rank}": value for rank, value in medians(matrices).items()}
            found[f"heads/moved/{name}/{kind}"] = float(np.median([one.moved for one in matrices]))
    found |= interval_metrics("heads/first", changes[0].change)
    return {metric_name(name): value for name, value in found.items() if math.isfinite(value)}


def metric_name(name: str) -> str:
    """As MLflow takes it."""
    return re.sub(r"[^\w./-]+", "_", name)


def _pattern_metrics(study: HeadStudy) -> dict[str, float]:
    """Of each pattern: log of the mean lift, share of the heads above the band, and solved minus failed puzzles."""
    summary, found = study.summary, {}
    apart = solved_from_failed(study.looks, study.right)
    for p, pattern in enumerate(summary.pattern_names):
        for name in (AFTER, study.others[0]):
            number = summary.names.index(name)
            lift = summary.mean_lift(name)[..., p]
            when = "after" if name == AFTER else "before"
            found[f"heads/lift/{when}/{pattern}"] = float(np.log(mean)) if (mean := np.nanmean(lift)) > 0 else math.nan
            if not np.isnan(summary.high[number, ..., p]).all():
                found[f"heads/above/{when}/{pattern}"] = float((lift > summary.high[number, ..., p]).mean())
        found[f"heads/apart/{pattern}"] = apart[p].difference.estimate
    return found
