"""A sweep over test-time settings of one model: noise chosen on some puzzles, selectors and depth judged on others."""

from argparse import Namespace
from dataclasses import replace

import numpy as np

from rrm.cluster.fanout import Progress, gather
from rrm.dynamics.escape import EscapeResult, escape
from rrm.dynamics.sampling import PUZZLES
from rrm.dynamics.shards import save_rows
from rrm.dynamics.stochastic import SPAN, StochasticResult, stochastic_rollouts
from rrm.errors import InputError
from rrm.halves import NOISE, SYMMETRY
from rrm.reports.selection import findings
from rrm.reports.selector_sweep import COPIES, Setting, as_json, choose, compare, say
from rrm.studies.estimate import say_expected_rollouts
from rrm.studies.selection import rows_together, with_noise
from rrm.studies.sources import sample_rows
from rrm.studies.study import Frame, conduct, prepare, publish_study
from rrm.tasks import PuzzleSet, get_task
from rrm.tasks.verdict import distinct_outcomes


def run_study(args: Namespace) -> None:
    """Run or resume the sweep that `args` describe and print its report; InputError before anything starts."""
    frame = prepare(args, "selector")
    settings = _settings(args, frame)
    K, depth = settings["K"][-1], settings["depths"][-1]
    used, left = settings["choose_on"], len(frame.puzzles) - settings["choose_on"]
    grid = len(_grid(settings))
    print(f"model     {frame.source.label}, up to {K} rollouts of {depth} segments that differ in {grid} ways")
    print(f"puzzles   {frame.puzzles.task}: {used} to choose the way on, {left} for the tables")

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
        "rollouts": args.rollouts,
        "K": sorted(args.K),
        "depths": sorted(args.depth or {max(1, round(share * frame.source.segments)) for share in args.depth_shares}),
        "choose_on": used,
        "deepest": args.deepest,
        "seed": args.seed,
        "batch_size": rows_together(frame.request),
    }


def _grid(settings: dict) -> list[Setting]:
    """What rollouts may differ by. A sweep of an older version knows noise alone."""
    kinds = settings.get("rollouts", [NOISE])
    noise = [(sigma, where) for sigma in settings["sigmas"] for where in settings["where"]]
    return (noise if NOISE in kinds else []) + ([COPIES] if SYMMETRY in kinds else [])


def _sweep(frame: Frame, settings: dict, resources: dict[str, float], run: str) -> None:
    folder, tracker = frame.folder, frame.tracker
    rows = sample_rows(len(frame.puzzles), settings["choose_on"], settings["seed"])
    others = np.setdiff1d(np.arange(len(frame.puzzles)), rows)
    to_choose, to_judge = frame.puzzles.subset(rows), frame.puzzles.subset(others)
    outcomes = distinct_outcomes(frame.puzzles, get_task(frame.puzzles.task))
    K, depths = settings["K"], settings["depths"]
    compared = {depth: [k for k in K if k * depth <= settings["deepest"]] for depth in depths}
    longest = max((k * depth for depth, counts in compared.items() for k in counts), default=0)
    # All segments, those of residual and stability included.
    a_choice, a_puzzle = (K[-1] + 1) * (depths[-1] + 1), (K[-1] + 1) * (depths[-1] + (1 + SPAN) * len(depths))
    grid = _grid(settings)
    total = len(rows) * a_choice * len(grid) + len(others) * (a_puzzle + longest)
    if not frame.args.resume:
        say_expected_rollouts(frame, total, resources)
    bar = frame.bar("segments", total)

    def noisy(
        puzzles: PuzzleSet, at: Setting, depths: list[int], part: str, segments: int, **options: bool
    ) -> StochasticResult:
        sigma, where = at
        place = f"{part}/{SYMMETRY}" if at == COPIES else f"{part}/sigma-{sigma:g}-{where}"
        differ = {"sigma": 0.0, "rollouts": SYMMETRY} if at == COPIES else {"sigma": sigma, "where": where}
        arguments = {"K": K[-1], "depths": depths, **differ, **options}
        return gather(
            stochastic_rollouts, StochasticResult, frame.source.model, puzzles,
            arguments | {name: settings[name] for name in ("seed", "batch_size")}, folder.path / place, resources,
            frame.request, _scaled(bar, segments), shard=PUZZLES,
        )  # fmt: skip

    choice = choose(
        {at: noisy(to_choose, at, depths[-1:], "choice", a_choice, growth=False) for at in grid},
        outcomes[-1],
    )
    result = noisy(to_judge, choice.chosen, depths, "others", a_puzzle)
    deep = None if not longest else gather(
        escape, EscapeResult, frame.source.model, to_judge,
        {"segments": longest, "seed": settings["seed"], "batch_size": PUZZLES}, folder.path / "deep", resources,
        frame.request, _scaled(bar, longest),
    )  # fmt: skip
    save_rows(replace(result, index=others), folder.path / "result.npz")
    files = ["result.npz", "choice.json"]
    if deep:
        save_rows(replace(deep, index=others), folder.path / "deep.npz")
        files.append("deep.npz")
    folder.write("choice", as_json(choice, rows))
    label = with_noise(frame.source.label, result.sigma, result.where, result.rollouts)
    found = findings(label, result, outcomes, K, deep)
    against = {
        depth: compare(result, deep, place, outcomes[-1], counts)
        for place, (depth, counts) in enumerate(compared.items())
        if deep and counts
    }
    tracker.tags(run, {"rrm.chosen_sigma": f"{choice.chosen[0]:g}", "rrm.chosen_where": choice.chosen[1]})
    publish_study(frame, say(frame.source.label, choice, found, against), run, *files)


def _scaled(bar: Progress, segments: int) -> Progress:
    """A progress function for puzzles that advances `bar` by the segments of each."""
    return lambda rows, seconds: bar(rows * segments, seconds)
