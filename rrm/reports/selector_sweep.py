"""The report on a sweep over test-time settings: chosen noise or copies, then all results on the other puzzles."""

from dataclasses import dataclass

import numpy as np

from rrm.dynamics.escape import EscapeResult
from rrm.dynamics.stochastic import SPAN, StochasticResult
from rrm.figures.selector_sweep import selector_sweep_figure
from rrm.halves import SYMMETRY
from rrm.reports.metrics import interval_metrics
from rrm.reports.report import Report
from rrm.reports.selection import Found, percent, report, would_find
from rrm.reports.selectors import BEST_Q, RESIDUAL, scores
from rrm.statistics import Interval, wilson_interval
from rrm.statistics.hypotheses import Verdicts
from rrm.statistics.selection import AgainstDepth, against_depth, selection
from rrm.terminal.table import table

# What makes rollouts differ: noise of (sigma, half), or symmetric copies without noise.
Setting = tuple[float, str]
COPIES: Setting = (0.0, SYMMETRY)


@dataclass(frozen=True)
class Choice:
    """How well a selector does on the puzzles on which noise or copies are chosen.

    Attributes:
        selector: that chooses, among `k` rollouts of `depth` segments.
        accuracy: by (sigma, half), and of COPIES.  clean: of the rollout without noise, on the same puzzles.
    """

    selector: str
    k: int
    depth: int
    accuracy: dict[Setting, Interval]
    clean: Interval

    @property
    def chosen(self) -> Setting:
        """The setting of the highest accuracy; among equals the first, which has the least noise."""
        return max(self.accuracy, key=lambda setting: self.accuracy[setting].estimate)


def choose(results: dict[Setting, StochasticResult], outcome: str) -> Choice:
    """Judge settings by the Q head, without one by the residual, among all rollouts of one depth."""
    known = {at: scores(result, 0) for at, result in results.items()}
    selector = BEST_Q if any(BEST_Q in of_setting for of_setting in known.values()) else RESIDUAL
    accuracy = {}
    for at, result in results.items():
        solved, answer = getattr(result, outcome)[:, :, 0], result.answer[:, 1:, 0]
        # If noise makes every state overflow, no rollout has a score.
        score = known[at].get(selector, np.full(answer.shape, np.nan))
        rows = selection(solved[:, 1:], answer, {selector: score}, [K := answer.shape[1]])
        (accuracy[at],) = [row.accuracy for row in rows if row.selector == selector]
    clean = wilson_interval(int(solved[:, 0].sum()), len(solved))
    return Choice(selector, K, int(result.depths[0]), accuracy, clean)


def compare(
    result: StochasticResult, deep: EscapeResult, place: int, outcome: str, counts: list[int]
) -> list[AgainstDepth]:
    """Noisy rollouts of depths[place] against those of `deep` that make as many network calls."""
    depth, noisy = int(result.depths[place]), (slice(None), slice(1, None), place)
    right = getattr(deep, outcome)
    alone = {k: right[:, k * depth - 1] for k in counts}
    return against_depth(getattr(result, outcome)[noisy], result.answer[noisy], scores(result, place), alone)


def say(label: str, choice: Choice, found: list[Found], against: dict[int, list[AgainstDepth]]) -> Report:
    """The whole report: the choice, then everything on the other puzzles.

    `found`: at every depth and outcome, the last one as the choice was made.  `against`: by depth.
    """
    judged = found[-1]
    last = against.get(judged.depth, [])
    breadth = [row for row in last if row.selector == choice.selector][-1:]
    said = report(found, [row.over_deep for row in breadth])
    title = (
        f"choice of noise or copies on {choice.clean.n} puzzles: {choice.selector} of {choice.k}, {judged.after}, "
        f"% solved"
    )
    said.tables = {title: _choice_lines(choice)} | said.tables
    said.sentences.insert(0, _choice_sentence(choice))
    for depth, rows in against.items():
        title = f"breadth against depth: selectors of K rollouts of {depth} segments minus one rollout of K x {depth}"
        counted = f", {judged.counted}" if judged.counted else ""
        said.tables[f"{title} without noise, points{counted}"] = _against_lines(rows)
        for row in rows:
            name = f"against_depth/depth_{depth}/K_{row.k}"
            said.metrics |= interval_metrics(f"{name}/clean", row.deep)
            said.metrics |= interval_metrics(f"{name}/{row.selector}", row.over_deep)
    said.sentences += [_depth_sentence(judged, row, said.verdicts) for row in breadth]
    said.metrics |= interval_metrics("choice/clean", choice.clean)
    for (sigma, where), accuracy in choice.accuracy.items():
        said.metrics |= interval_metrics(f"choice/where_{where}/sigma_{sigma:g}", accuracy)
    said.figures["selector_sweep"] = selector_sweep_figure(
        label, choice.selector, choice.depth, choice.accuracy, choice.chosen, choice.clean, judged.table, last
    )
    return said


def _choice_lines(choice: Choice) -> list[str]:
    noise = [at for at in choice.accuracy if at != COPIES]
    sigmas, halves = dict.fromkeys(sigma for sigma, _ in noise), dict.fromkeys(where for _, where in noise)

    def cell(at: Setting) -> str:
        return f"{choice.accuracy[at] * 100:z.1f}" + (" chosen" if at == choice.chosen else "")

    lines = [{"sigma": f"{sigma:g}"} | {f"on {where}": cell((sigma, where)) for where in halves} for sigma in sigmas]
    copies = [f"symmetric copies without noise: {cell(COPIES)}"] if COPIES in choice.accuracy else []
    clean = f"without noise, one rollout: {choice.clean * 100:z.1f}"
    return [clean, *copies, *(table(lines) if lines else [])]


def _choice_sentence(choice: Choice) -> str:
    sigma, where = choice.chosen
    chosen = "The set of symmetric copies" if choice.chosen == COPIES else f"Noise of {sigma:g} on {where}"
    return (
        f"{chosen} is chosen on {choice.clean.n} puzzles, of which {choice.selector} of {choice.k} rollouts of "
        f"{choice.depth} segments solves {percent(choice.accuracy[choice.chosen])} with it, one rollout without noise "
        f"{percent(choice.clean)}. As the best of {len(choice.accuracy)} settings that is biased upwards: what follows "
        f"is on the other puzzles."
    )


def _against_lines(rows: list[AgainstDepth]) -> list[str]:
    counts = list(dict.fromkeys(row.k for row in rows))
    alone = {row.k: row.deep for row in rows}
    lines = [{"": "without noise, %"} | {f"K = {k}": f"{alone[k] * 100:z.1f}" for k in counts}]
    for name in dict.fromkeys(row.selector for row in rows):
        of_name = {row.k: row.over_deep for row in rows if row.selector == name}
        lines.append({"": name} | {f"K = {k}": f"{of_name[k] * 100:+z.1f}" for k in counts})
    note = f"not counted: one more segment a rollout for the residual, {SPAN} for stability; the oracle is no selector"
    return [*table(lines), note]


def _depth_sentence(judged: Found, row: AgainstDepth, verdicts: Verdicts) -> str:
    accuracy = next(each.accuracy for each in judged.table if (each.selector, each.k) == (row.selector, row.k))
    words = f"neither breadth nor depth is measurably better ({would_find(row.over_deep, verdicts)})"
    if verdicts.different(row.over_deep):
        more, less = ("breadth", "depth") if row.over_deep.estimate > 0 else ("depth", "breadth")
        words = f"{more} helps more than {less} (p = {verdicts.p(row.over_deep):.2g})"
    return (
        f"At equal network calls, {words}: {row.selector} of {row.k} rollouts of {judged.depth} segments solves "
        f"{percent(accuracy)} and one rollout of {row.k * judged.depth} segments without noise {percent(row.deep)}, a "
        f"difference of {row.over_deep * 100:+z.1f} points."
    )


def as_json(choice: Choice, rows: np.ndarray) -> dict:
    """The choice as plain values; `rows`: the puzzles on which it was made."""
    grid = [
        {"sigma": sigma, "where": where, "accuracy": value.estimate, "low": value.low, "high": value.high}
        for (sigma, where), value in choice.accuracy.items()
    ]
    sigma, where = choice.chosen
    return {
        "selector": choice.selector, "K": choice.k, "depth": choice.depth, "sigma": sigma, "where": where,
        "clean": choice.clean.estimate, "grid": grid, "puzzles": rows.tolist(),
    }  # fmt: skip
