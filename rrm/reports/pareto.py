"""The Pareto front of a search: the trials that no other trial beats."""

from collections.abc import Mapping, Sequence

import numpy as np

from rrm.jobs.objectives import SearchObjective


def pareto_front(values: Sequence[Sequence[float]], objectives: Mapping[str, SearchObjective]) -> list[int]:
    """Positions of the trials of which no other is at least as good in all `objectives` and better in one.

    Args:
        values: of each trial, in the order of `objectives`. A trial of which one is not finite stands in no front.
    """
    signs = [1.0 if objective.mode == "max" else -1.0 for objective in objectives.values()]
    scores = np.array(values, float).reshape(-1, len(signs)) * signs
    known = np.flatnonzero(np.isfinite(scores).all(1))
    return [
        int(i)
        for i in known
        if not any((scores[j] >= scores[i]).all() and (scores[j] > scores[i]).any() for j in known)
    ]


def front_sentence(
    labels: Sequence[str], values: Sequence[Sequence[float]], objectives: Mapping[str, SearchObjective]
) -> str:
    """The front in words, from the best in the first objective downwards, with a caution on its numbers.

    Every trial is one training run and one draw of noisy numbers: nothing here has an interval.
    """
    front = pareto_front(values, objectives)
    if not front:
        return f"No trial has a value for each of {', '.join(objectives)}: there is no Pareto front."
    sign = 1 if next(iter(objectives.values())).mode == "max" else -1
    front = sorted(front, key=lambda i: -sign * values[i][0])
    told = [
        f"{labels[i]} ({', '.join(f'{name} {value:.3g}' for name, value in zip(objectives, values[i], strict=True))})"
        for i in front
    ]
    best = ", ".join(f"{name} {objective.mode}" for name, objective in objectives.items())
    meaning = "; ".join(f"{name} is {objective.meaning}" for name, objective in objectives.items())
    return (
        f"Pareto front of {len(values)} trials ({best}; one training run each, without intervals: another seed may "
        f"change who is on it): {'; '.join(told)}. Here {meaning}."
    )
