"""What rounds of dream loops say: drift to easy puzzles, the order in which rules would stop, noise and success."""

from collections.abc import Mapping, Sequence

import numpy as np

from rrm.figures.rounds import rounds_figure
from rrm.reports.report import Report
from rrm.statistics.hypotheses import mean_over_seeds
from rrm.statistics.interval import Interval
from rrm.statistics.rounds import Rounds
from rrm.terminal.table import table
from rrm.training.dream.stop import STOPS, first_stop

_SHOWN = ("sigma", "p_hat", "yield", "pass_1", "exact_1", "pass_K", "corrections", "false_accepts", "kept_exact",
          "kept_tier_1", "kept_tier_3")  # fmt: skip
# Loops of the figure; more lines hide each other.
_DRAWN = 6


def rounds_report(arms: Sequence[Rounds], baseline: str | None) -> Report:
    """Tables, sentences and the figure of rounds.

    Args:
        arms: the loops; the first ones are drawn.
        baseline: the loop that sentences are about as well as about those whose noise moves.
    """
    said = Report()
    if not arms:
        return said
    rows = [
        {"arm": arm.arm, "round": f"{number + 1}"}
        | {name: f"{arm.mean(name, number).estimate:.2f}" for name in _SHOWN if name in arm.series}
        for arm in arms
        for number in sorted({0, arm.count - 1})
    ]
    said.tables["first and last round, mean over seeds (shares; sigma in state units)"] = table(rows)
    said.figures["rounds"] = rounds_figure(arms[:_DRAWN])
    for arm in arms:
        said.sentences += [_drift(arm)]
        if arm.arm == baseline:
            said.sentences += [_stops(arm)]
        if (arm.series["sigma"] != arm.series["sigma"][:, :1]).any() or arm.arm == baseline:
            said.sentences += [_noise(arm)]
    said.sentences = [sentence for sentence in said.sentences if sentence]
    return said


def _drift(arm: Rounds) -> str:
    if "kept_tier_1" not in arm.series:
        return ""
    more = np.where(arm.series["kept"] > 0, arm.series["kept_tier_1"] - arm.series["tried_tier_1"], np.nan)
    more = more[~np.isnan(more).all(1)]  # of seeds that kept something
    if not len(more):
        return f"{arm.arm}: nothing was kept."
    known = [row[~np.isnan(row)] for row in more]
    mean = mean_over_seeds([row.mean() for row in known])
    later = mean_over_seeds([row[-1] - row[0] for row in known])
    return (
        f"{arm.arm}: easy puzzles are {mean * 100:+.1f} points more of what is kept than of what is tried, and "
        f"{later * 100:+.1f} points more so in the last round than in the first."
    )


def _stops(arm: Rounds) -> str:
    seeds = range(len(arm.series["sigma"]))
    found = {rule: [first_stop(rule, arm.records(seed)) for seed in seeds] for rule in STOPS}
    told = [
        f"{rule} in {sum(n is not None for n in rounds)} of {len(rounds)} seeds"
        + ("" if all(n is None for n in rounds) else f" (round {_median(rounds)})")
        for rule, rounds in found.items()
    ]
    halves = {name: [_half(arm.series[name][seed]) for seed in seeds] for name in ("yield", "corrections")}
    first = sum(c < y for c, y in zip(halves["corrections"], halves["yield"], strict=True))
    later = sum(c > y for c, y in zip(halves["corrections"], halves["yield"], strict=True))
    return (
        f"{arm.arm}: rules that would have stopped the loop: {', '.join(told)}. Corrections on fresh puzzles fall to "
        f"half of their first value before the yield does in {first} seeds, after it in {later}."
    )


def _median(rounds: Sequence[int | None]) -> str:
    return f"{np.median([n + 1 for n in rounds if n is not None]):g}"


def _half(values: np.ndarray) -> float:
    """The first round with at most half of the first value; infinite where there is none."""
    below = np.flatnonzero(values <= values[0] / 2)
    return float(below[0]) if len(below) else np.inf


def _noise(arm: Rounds) -> str:
    last = arm.count - 1
    return (
        f"{arm.arm}: noise {arm.mean('sigma', 0).estimate:.2g} to {arm.mean('sigma', last):.2g}, accepted "
        f"{arm.mean('p_hat', 0) * 100:.0f} % to {arm.mean('p_hat', last) * 100:.0f} %."
    )


def selection_sentences(found: Mapping[str, Mapping[int, Mapping[str, float]]], K: int) -> tuple[list[str], list[str]]:
    """(lines of a table, sentences) on one clean rollout, and on K noisy ones of which the Q head or the rules choose.

    The rules find a right answer wherever there is one: they verify attempts in training, and may do so at test time.

    Args:
        found: {arm: {seed: {"clean", "chosen", "any": share of test puzzles}}}, of which the Q head makes "chosen".
    """

    def mean(arm: str, what: str) -> Interval:
        return mean_over_seeds([values[what] for values in found[arm].values()])

    rows = [
        {
            "arm": arm,
            "one clean": f"{mean(arm, 'clean') * 100:.1f}",
            f"Q head of {K}": f"{mean(arm, 'chosen') * 100:.1f}",
            f"rules, of {K}": f"{mean(arm, 'any') * 100:.1f}",
        }
        for arm in found
    ]
    said = []
    plain, *others = found
    for arm in others:
        shared = [seed for seed in found[arm] if seed in found[plain]]
        for words, mine, theirs in (
            (f"one clean rollout against {K} of {plain} chosen by its Q head", "clean", "chosen"),
            (f"{K} rollouts chosen by the Q head against as many of {plain}", "chosen", "chosen"),
            (f"one clean rollout against {K} of {plain} chosen by the rules", "clean", "any"),
            (f"{K} rollouts chosen by the rules against as many of {plain}", "any", "any"),
        ):
            gain = mean_over_seeds([found[arm][seed][mine] - found[plain][seed][theirs] for seed in shared])
            said.append(f"{arm}, {words}: {gain * 100:+.1f} points.")
    return table(rows), said
