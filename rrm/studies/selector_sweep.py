"""A sweep over test-time settings of one model: noise chosen on some puzzles, selectors and depth judged on others."""

from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from rrm.cluster.fanout import gather
from rrm.dynamics.escape import EscapeResult, escape
from rrm.dynamics.sampling import PUZZLES
from rrm.dynamics.shards import save_rows
from rrm.dynamics.stochastic import SPAN, StochasticResult, stochastic_rollouts
from rrm.errors import InputError
from rrm.figures.selector_sweep import selector_sweep_figure
from rrm.reports.metrics import interval_metrics
from rrm.reports.report import Report
from rrm.reports.selection import BEST_Q, RESIDUAL, Found, findings, percent, report, scores, would_find
from rrm.statistics import Interval, wilson_interval
from rrm.statistics.hypotheses import Verdicts
from rrm.statistics.selection import AgainstDepth, against_depth, selection
from rrm.studies.selection import rows_together, with_noise
from rrm.studies.sources import sample_rows
from rrm.studies.study import Frame, conduct, prepare
from rrm.tasks import PuzzleSet, get_task
from rrm.tasks.verdict import distinct_outcomes
from rrm.terminal.table import table

Progress = Callable[[int, float], None]


@dataclass(frozen=True)
class Choice:
    """How well a selector does on the puzzles on which the noise is chosen.

    Attributes:
        selector: that chooses, among `k` rollouts of `depth` segments.
        accuracy: by (sigma, half).  clean: of the rollout without noise, on the same puzzles.
    """

    selector: str
    k: int
    depth: int
    accuracy: dict[tuple[float, str], Interval]
    clean: Interval

    @property
    def chosen(self) -> tuple[float, str]:
        """Sigma and half of the highest accuracy; the first of those that are level, which has the least noise."""
        return max(self.accuracy, key=lambda setting: self.accuracy[setting].estimate)


def run_study(args: Namespace) -> None:
    """Run or resume the sweep that `args` describe and print its report; InputError before anything starts."""
    frame = prepare(args, "selector")
    settings = _settings(args, frame)
    K, depth = settings["K"][-1], settings["depths"][-1]
    used, left = settings["choose_on"], len(frame.puzzles) - settings["choose_on"]
    grid = len(settings["sigmas"]) * len(settings["where"])
    print(f"model     {frame.source.label}, up to {K} rollouts of {depth} segments, {grid} settings of the noise")
    print(f"puzzles   {frame.puzzles.task}: {used} to choose the noise on, {left} for the tables")

    def work(record: dict, resources: dict[str, float], run: str) -> None:
        _sweep(frame, record["settings"], resources, run)

    conduct(frame, lambda resources: settings, work)


def _settings(args: Namespace, frame: Frame) -> dict:
    total = len(frame.puzzles)
    used = int(args.choose_on if args.choose_on >= 2 else round(args.choose_on * total))
    if used < 2 or total - used < 2:
        raise InputError(
            f"--choose-on {args.choose_on:.3g} of {total} puzzles leaves {used} to choose the noise on and "
            f"{max(0, total - used)} for the tables: both need 2 or more"
        )
    return {
        "sigmas": sorted(args.sigma),
        "where": args.where,
        "K": sorted(args.K),
        "depths": sorted(args.depth or {max(1, round(share * frame.source.segments)) for share in args.depth_shares}),
        "choose_on": used,
        "deepest": args.deepest,
        "seed": args.seed,
        "batch_size": rows_together(frame.request),
    }


def _sweep(frame: Frame, settings: dict, resources: dict[str, float], run: str) -> None:
    folder, tracker = frame.folder, frame.tracker
    rows = sample_rows(len(frame.puzzles), settings["choose_on"], settings["seed"])
    others = np.setdiff1d(np.arange(len(frame.puzzles)), rows)
    to_choose, to_judge = frame.puzzles.subset(rows), frame.puzzles.subset(others)
    outcomes = distinct_outcomes(frame.puzzles, get_task(frame.puzzles.task))
    K, depths = settings["K"], settings["depths"]
    compared = {depth: [k for k in K if k * depth <= settings["deepest"]] for depth in depths}
    longest = max((k * depth for depth, counts in compared.items() for k in counts), default=0)
    # Every segment that is run, those of the residual and of stability included.
    a_choice, a_puzzle = (K[-1] + 1) * (depths[-1] + 1), (K[-1] + 1) * (depths[-1] + (1 + SPAN) * len(depths))
    grid = [(sigma, where) for sigma in settings["sigmas"] for where in settings["where"]]
    bar = frame.bar("segments", len(rows) * a_choice * len(grid) + len(others) * (a_puzzle + longest))

    def noisy(puzzles: PuzzleSet, at: tuple[float, str], depths: list[int], place: str, segments: int, **options):
        sigma, where = at
        arguments = {"K": K[-1], "depths": depths, "sigma": sigma, "where": where, **options}
        return gather(
            stochastic_rollouts, StochasticResult, frame.source.model, puzzles,
            arguments | {name: settings[name] for name in ("seed", "batch_size")}, folder.path / place, resources,
            frame.request, _scaled(bar, segments), shard=PUZZLES,
        )  # fmt: skip

    choice = choose(
        {
            at: noisy(to_choose, at, depths[-1:], f"choice/sigma-{at[0]:g}-{at[1]}", a_choice, growth=False)
            for at in grid
        },
        outcomes[-1],
    )
    result = noisy(to_judge, choice.chosen, depths, f"others/sigma-{choice.chosen[0]:g}-{choice.chosen[1]}", a_puzzle)
    deep = longest and gather(
        escape, EscapeResult, frame.source.model, to_judge,
        {"segments": longest, "seed": settings["seed"], "batch_size": PUZZLES}, folder.path / "deep", resources,
        frame.request, _scaled(bar, longest),
    )  # fmt: skip
    save_rows(replace(result, index=others), folder.path / "result.npz")
    files = ["result.npz", "choice.json"]
    if deep:
        save_rows(replace(deep, index=others), folder.path / "deep.npz")
        files.append("deep.npz")
    folder.write("choice", _as_json(choice, rows))
    found = findings(with_noise(frame.source.label, *choice.chosen), result, outcomes, K)
    against = {
        depth: compare(result, deep, place, outcomes[-1], counts)
        for place, (depth, counts) in enumerate(compared.items())
        if counts
    }
    tracker.tags(run, {"rrm.chosen_sigma": f"{choice.chosen[0]:g}", "rrm.chosen_where": choice.chosen[1]})
    say(frame.source.label, choice, found, against).publish(folder, tracker, run, *files)


def _scaled(bar: Progress, segments: int) -> Progress:
    """A progress of puzzles that advances `bar` by the segments of each."""
    return lambda rows, seconds: bar(rows * segments, seconds)


def choose(results: dict[tuple[float, str], StochasticResult], outcome: str) -> Choice:
    """Judge settings (sigma, half) by the Q head, without one by the residual, among all rollouts of one depth."""
    known = {at: scores(result, 0) for at, result in results.items()}
    selector = BEST_Q if any(BEST_Q in of_setting for of_setting in known.values()) else RESIDUAL
    accuracy = {}
    for at, result in results.items():
        solved, answer = getattr(result, outcome)[:, :, 0], result.answer[:, 1:, 0]
        # Where noise lets every state overflow, nothing is known of any rollout.
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
        f"choice of the noise on {choice.clean.n} puzzles: {choice.selector} of {choice.k}, {judged.after}, % solved"
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
    sigmas, halves = (list(dict.fromkeys(values)) for values in zip(*choice.accuracy, strict=True))

    def cell(at: tuple[float, str]) -> str:
        return f"{choice.accuracy[at] * 100:z.1f}" + (" chosen" if at == choice.chosen else "")

    lines = [{"sigma": f"{sigma:g}"} | {f"on {where}": cell((sigma, where)) for where in halves} for sigma in sigmas]
    return [f"without noise, one rollout: {choice.clean * 100:z.1f}", *table(lines)]


def _choice_sentence(choice: Choice) -> str:
    sigma, where = choice.chosen
    return (
        f"Noise of {sigma:g} on {where} is chosen on {choice.clean.n} puzzles, of which {choice.selector} of "
        f"{choice.k} rollouts of {choice.depth} segments solves {percent(choice.accuracy[choice.chosen])} with it, one "
        f"rollout without noise {percent(choice.clean)}. As the best of {len(choice.accuracy)} settings that is biased "
        f"upwards: what follows is on the other puzzles."
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
        f"At equal network calls, {words}: {row.selector} of {row.k} noisy rollouts of {judged.depth} segments solves "
        f"{percent(accuracy)} and one rollout of {row.k * judged.depth} segments without noise {percent(row.deep)}, a "
        f"difference of {row.over_deep * 100:+z.1f} points."
    )


def _as_json(choice: Choice, rows: np.ndarray) -> dict:
    grid = [
        {"sigma": sigma, "where": where, "accuracy": value.estimate, "low": value.low, "high": value.high}
        for (sigma, where), value in choice.accuracy.items()
    ]
    sigma, where = choice.chosen
    return {
        "selector": choice.selector, "K": choice.k, "depth": choice.depth, "sigma": sigma, "where": where,
        "clean": choice.clean.estimate, "grid": grid, "puzzles": rows.tolist(),
    }  # fmt: skip
