"""A study of noisy rollouts of one checkpoint: which of them to believe, and whether Q and stability say the same."""

import math
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import expit

from rrm.cluster.fanout import device_of, gather
from rrm.cluster.folder import JobFolder
from rrm.cluster.progress import table
from rrm.cluster.study import conduct, interval_metrics, prepare
from rrm.dynamics.shards import save_rows
from rrm.dynamics.stochastic import BATCH, PUZZLES, StochasticResult, stochastic_rollouts
from rrm.errors import InputError
from rrm.statistics import Interval, wilson_interval
from rrm.statistics.calibration import Calibration, calibration
from rrm.statistics.selection import MAJORITY, ORACLE, RANDOM, Selected, selection
from rrm.statistics.within_problem import (
    agreement,
    mean_correlation,
    mixed_problems,
    pooled_correlation,
    within_problem,
)
from rrm.tracking import Tracker

# Rows (puzzle, rollout) that an accelerator runs together.
ACCELERATOR_BATCH = 1024
# The ways to correlate Q with stability within problems.
PLAIN, SETTLING, BOTH = "within problems", "given settling time", "and agreement too"


@dataclass(frozen=True)
class Found:
    """What the noisy rollouts of N puzzles say at one depth.

    Attributes:
        depth: in segments.
        table: selectors at every number of rollouts.  clean: accuracy of the rollout without noise.
        calibration: of the Q head; None without one.
        within: by name, the correlations [n] of the mixed problems and their mean; empty without Q head.
        pooled: correlations over all rollouts at once.
        mixed: number of mixed problems.
    """

    depth: int
    table: list[Selected]
    clean: Interval
    calibration: Calibration | None
    within: dict[str, tuple[np.ndarray, Interval]]
    pooled: dict[str, Interval]
    mixed: int


def run_study(args: Namespace) -> None:
    """Run or resume the study that `args` describe and print its report; InputError before anything starts."""
    frame = prepare(args, "selection")
    if len(frame.puzzles) < 2:
        raise InputError("one puzzle says nothing of puzzles: give 2 or more")
    device = device_of(frame.request)
    settings = {
        "K": args.K,
        "depths": sorted(args.depth or [frame.source.segments]),
        "sigma": args.sigma,
        "where": args.where,
        "exponent": args.exponent,
        "seed": args.seed,
        "batch_size": BATCH if device == "cpu" else ACCELERATOR_BATCH,
    }
    label = f"{frame.source.label}, test noise {args.sigma:g} on {args.where}"
    print(f"model     {label}, {args.K} rollouts of {settings['depths'][-1]} segments")
    print(f"puzzles   {frame.puzzles.task}: {len(frame.puzzles)}")

    def work(record: dict, resources: dict[str, float], run: str) -> None:
        result = gather(
            stochastic_rollouts, StochasticResult, frame.source.model, frame.puzzles, record["settings"],
            frame.folder.path / "rollouts", resources, frame.request, frame.bar("noisy rollouts", len(frame.puzzles)),
            shard=PUZZLES,
        )  # fmt: skip
        save_rows(result, frame.folder.path / "result.npz")
        found = [find(result, place) for place in range(len(result.depths))]
        _report(label, found, frame.folder, frame.tracker, run)

    conduct(frame, lambda resources: settings, work)


def find(result: StochasticResult, place: int) -> Found:
    """The statistics at depths[place]; all but `clean` are over the noisy rollouts, which are exchangeable."""
    depth, noisy = int(result.depths[place]), (slice(None), slice(1, None), place)
    solved, answer, q = result.solved[noisy], result.answer[noisy], result.q_halt[noisy]
    stability = -result.growth[noisy]
    scores = {
        "best Q": q,
        "lowest residual": -result.residual[noisy],
        "most stable": stability,
        "lowest lambda_1": -result.lambda_1[noisy],
    }
    selectors = selection(solved, answer, {name: score for name, score in scores.items() if np.isfinite(score).any()})
    clean = wilson_interval(int(result.solved[:, 0, place].sum()), len(solved))
    mixed = mixed_problems(solved)
    known = np.isfinite(q).all(1)
    if np.count_nonzero(known) < 2:
        return Found(depth, selectors, clean, None, {}, {}, np.count_nonzero(mixed))
    within, pooled = {}, {"pooled, all problems": pooled_correlation(q, stability)}
    if mixed.any():
        settled = result.settled[noisy]
        controls = {PLAIN: [], SETTLING: [settled], BOTH: [settled, agreement(answer)]}
        for name, held in controls.items():
            values = within_problem(q[mixed], stability[mixed], [control[mixed] for control in held])
            within[name] = values, mean_correlation(values)
        pooled["pooled, mixed ones"] = pooled_correlation(q[mixed], stability[mixed])
    found = calibration(expit(q[known].astype(float)), solved[known])
    return Found(depth, selectors, clean, found, within, pooled, np.count_nonzero(mixed))


def sentences(label: str, found: Found) -> list[str]:
    """What noise buys, which selector to take, and whether Q and stability agree within problems."""
    depth, rows, clean = found.depth, found.table, found.clean
    last = {row.selector: row for row in rows if row.k == rows[-1].k}
    K = rows[-1].k
    text = [
        f"{label}: after {depth} segments one rollout without noise solves {_percent(clean)} of {clean.n} puzzles, one "
        f"with noise {_percent(last[RANDOM].accuracy)}, at least one of {K} {_percent(last[ORACLE].accuracy)}."
    ]
    chosen = [row for name, row in last.items() if name not in (RANDOM, ORACLE, MAJORITY)]
    for row in [last[MAJORITY], *chosen]:
        words = f"Of {K} rollouts, {row.selector} solves {_percent(row.accuracy)}, {_versus(row.over_random)} random"
        if row.selector != MAJORITY:
            words += f" and {_versus(row.over_majority)} the majority ({100 * row.over_majority.estimate:+.1f} points)"
        text.append(f"{words}; {100 * row.gap.estimate:.1f} points short of the oracle.")
    if not found.within or math.isnan(found.within[PLAIN][1].estimate):
        text.append(f"{found.mixed} problems are mixed: nothing can be said of Q and stability within problems.")
        return text
    for name in (PLAIN, SETTLING):
        mean = found.within[name][1]
        if math.isnan(mean.estimate):
            text.append(f"Q and stability {name}: undefined.")
            continue
        verdict = "do not correlate beyond sampling error" if 0 in mean else "correlate"
        text.append(f"Q and stability {name}: they {verdict}, {mean:+.2f} on average over {mean.n} mixed problems.")
    pooled = found.pooled["pooled, all problems"]
    text.append(f"Pooled over all problems the same correlation is {pooled:+.2f}, difficulty included.")
    return text


def _versus(difference: Interval) -> str:
    if 0 in difference:
        return "not measurably better than"
    return "better than" if difference.low > 0 else "worse than"


def _percent(value: Interval) -> str:
    return f"{100 * value.estimate:.1f} % [{100 * value.low:.1f}, {100 * value.high:.1f}]"


def tables(found: Found) -> dict[str, list[str]]:
    """Lines of the tables, by title."""
    after, shown = f"after {found.depth} segments", {}
    counts = sorted({row.k for row in found.table})
    lines = []
    for name in dict.fromkeys(row.selector for row in found.table):
        of_name = {row.k: row for row in found.table if row.selector == name}
        last = of_name[counts[-1]]
        line = {"selector": name} | {f"K = {k}": _points(of_name[k].accuracy, ".1f") for k in counts}
        line |= {"short of oracle": _points(last.gap, ".1f"), "over random": _points(last.over_random, "+.1f")}
        lines.append(line | {"over majority": _points(last.over_majority, "+.1f")})
    title = f"puzzles solved {after}, %; differences in points at K = {counts[-1]}"
    shown[title] = [f"without noise, one rollout: {_points(found.clean, '.1f')}", *table(lines)]
    if q := found.calibration:
        lines = [{"Q says": f"{each.predicted:.3f}", "solved": f"{each.observed:.3f}", "rollouts": str(each.rollouts)}
                 for each in q.bins]  # fmt: skip
        parts = f"reliability {q.reliability:.4f}, resolution {q.resolution:.4f}, uncertainty {q.uncertainty:.4f}"
        brier = f"Brier {q.brier:.4f}: {parts}, within bins {q.within_bins:+.4f}"
        shown[f"calibration of Q {after}"] = [brier, *table(lines)]
    if found.pooled:
        values = {name: mean for name, (_, mean) in found.within.items()} | found.pooled
        lines = [{"Q and stability": name, "rank correlation": f"{value:+.3f}", "problems": str(value.n)}
                 for name, value in values.items()]  # fmt: skip
        shown[f"rank correlations {after}, {found.mixed} mixed problems"] = table(lines)
    return shown


def _points(value: Interval, spec: str) -> str:
    return f"{Interval(100 * value.estimate, 100 * value.low, 100 * value.high, value.level, value.n):{spec}}"


def metrics(found: Found) -> dict[str, float]:
    """Everything in the tables as metrics."""
    at = f"depth_{found.depth}"
    named = interval_metrics(f"accuracy/{at}/clean", found.clean) | {f"mixed_problems/{at}": float(found.mixed)}
    for row in found.table:
        of_row = f"{at}/K_{row.k}/{row.selector}"
        named |= interval_metrics(f"accuracy/{of_row}", row.accuracy) | interval_metrics(f"gap/{of_row}", row.gap)
        named |= interval_metrics(f"over_majority/{of_row}", row.over_majority)
    if q := found.calibration:
        named |= interval_metrics(f"calibration/{at}/brier", q.brier)
        named |= {f"calibration/{at}/{part}": getattr(q, part) for part in ("reliability", "resolution", "uncertainty")}
    for name, value in ({name: mean for name, (_, mean) in found.within.items()} | found.pooled).items():
        named |= interval_metrics(f"rank_correlation/{at}/{name}", value)
    return named


def _report(label: str, found: list[Found], folder: JobFolder, tracker: Tracker, run: str) -> None:
    titled = {title: lines for at_depth in found for title, lines in tables(at_depth).items()}
    text = "\n\n".join(f"{title}\n  " + "\n  ".join(lines) for title, lines in titled.items())
    words = sentences(label, found[-1])
    print("\n" + text + "\n\nfound\n  " + "\n  ".join(words))
    (folder.path / "tables.txt").write_text(text + "\n")
    tracker.summary(run, {name: value for at_depth in found for name, value in metrics(at_depth).items()})
    tracker.tags(run, {"mlflow.note.content": "\n\n".join(words)})
    for name in ("tables.txt", "result.npz", "study.json"):
        tracker.artifact(run, folder.path / name)
    print("\nfigures")
    for path in draw(label, found, folder.path / "figures"):
        tracker.artifact(run, path, "figures")
        print(f"  {path}")
    command, link = tracker.ui()
    print(f"\nresult    {folder.path / 'result.npz'}\nMLflow    {command}\n          {link}")


def draw(label: str, found: list[Found], target: Path) -> list[Path]:
    """Fig. 4 at every depth as PNG files."""
    from rrm.figures import save
    from rrm.figures.selection import selection_figure

    target.mkdir(exist_ok=True)
    paths = [target / f"fig4_selection_depth_{at.depth}.png" for at in found]
    for at, path in zip(found, paths, strict=True):
        save(selection_figure(label, at.table, at.depth, at.clean, at.calibration, at.within, at.pooled), path)
    return paths
