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
from rrm.statistics.normal import undefined_interval
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
    """What the noisy rollouts of N puzzles say.

    Attributes:
        tables: selectors at every number of rollouts, by depth; `clean`: accuracy of the rollout without noise there.
        calibration: of the Q head at the last depth; None without one. All that follow are at the last depth, too.
        within: by name, the correlations [n] of the mixed problems and their mean; empty without Q head.
        pooled: correlations over all rollouts at once.
        mixed: number of mixed problems.
    """

    tables: dict[int, list[Selected]]
    clean: dict[int, Interval]
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
        _report(label, result, find(result), frame.folder, frame.tracker, run)

    conduct(frame, lambda resources: settings, work)


def find(result: StochasticResult) -> Found:
    """The statistics of a result; those of selection are over the noisy rollouts, which are exchangeable."""
    noisy = slice(1, None)
    tables, clean = {}, {}
    for m, depth in enumerate(result.depths.tolist()):
        at = noisy, m
        scores = {
            "best Q": result.q_halt[:, *at],
            "lowest residual": -result.residual[:, *at],
            "most stable": -result.growth[:, *at],
            "lowest lambda_1": -result.lambda_1[:, *at],
        }
        scores = {name: score for name, score in scores.items() if np.isfinite(score).any()}
        tables[depth] = selection(result.solved[:, *at], result.answer[:, *at], scores)
        clean[depth] = wilson_interval(int(result.solved[:, 0, m].sum()), len(result.index))
    solved, q = result.solved[:, noisy, -1], result.q_halt[:, noisy, -1]
    mixed = mixed_problems(solved)
    known = np.isfinite(q).all(1)
    if np.count_nonzero(known) < 2:
        return Found(tables, clean, None, {}, {}, np.count_nonzero(mixed))
    stability, settled = -result.growth[:, noisy, -1], result.settled[:, noisy, -1]
    controls = {PLAIN: [], SETTLING: [settled], BOTH: [settled, agreement(result.answer[:, noisy, -1])]}
    within = {}
    if mixed.any():
        for name, held in controls.items():
            values = within_problem(q[mixed], stability[mixed], [control[mixed] for control in held])
            within[name] = values, mean_correlation(values)
    pooled = {
        "pooled, all problems": pooled_correlation(q, stability),
        "pooled, mixed ones": pooled_correlation(q[mixed], stability[mixed]) if mixed.any() else undefined_interval(0),
    }
    found = calibration(expit(q[known].astype(float)), solved[known])
    return Found(tables, clean, found, within, pooled, np.count_nonzero(mixed))


def sentences(label: str, found: Found) -> list[str]:
    """What noise buys, which selector to take, and whether Q and stability agree within problems."""
    depth, rows = list(found.tables.items())[-1]
    last = {row.selector: row for row in rows if row.k == rows[-1].k}
    clean, K = found.clean[depth], rows[-1].k
    text = [
        f"{label}: after {depth} segments one rollout without noise solves {_percent(clean)} of {clean.n} puzzles, one "
        f"with noise {_percent(last[RANDOM].accuracy)}, at least one of {K} {_percent(last[ORACLE].accuracy)}."
    ]
    chosen = [row for name, row in last.items() if name not in (RANDOM, ORACLE, MAJORITY)]
    for row in [last[MAJORITY], *chosen]:
        verdict = (
            "no different from" if 0 in row.over_random else "better than" if row.over_random.low > 0 else "worse than"
        )
        words = f"Of {K} rollouts, {row.selector} solves {_percent(row.accuracy)}, {verdict} a random choice"
        if row.selector != MAJORITY:
            versus = row.over_majority
            verdict = "no different from" if 0 in versus else "better than" if versus.low > 0 else "worse than"
            words += f" and {verdict} the majority ({100 * versus.estimate:+.1f} points)"
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


def _percent(value: Interval) -> str:
    return f"{100 * value.estimate:.1f} % [{100 * value.low:.1f}, {100 * value.high:.1f}]"


def tables(found: Found) -> dict[str, list[str]]:
    """Lines of the tables, by title."""
    shown = {}
    for depth, rows in found.tables.items():
        counts = sorted({row.k for row in rows})
        lines = []
        for name in dict.fromkeys(row.selector for row in rows):
            of_name = {row.k: row for row in rows if row.selector == name}
            last = of_name[counts[-1]]
            line = {"selector": name} | {f"K = {k}": _points(of_name[k].accuracy, ".1f") for k in counts}
            line |= {"short of oracle": _points(last.gap, ".1f"), "over random": _points(last.over_random, "+.1f")}
            lines.append(line | {"over majority": _points(last.over_majority, "+.1f")})
        title = f"puzzles solved after {depth} segments, %; differences in points at K = {counts[-1]}"
        shown[title] = [f"without noise, one rollout: {_points(found.clean[depth], '.1f')}", *table(lines)]
    if q := found.calibration:
        lines = [{"Q says": f"{each.predicted:.3f}", "solved": f"{each.observed:.3f}", "rollouts": str(each.rollouts)}
                 for each in q.bins]  # fmt: skip
        parts = f"reliability {q.reliability:.4f}, resolution {q.resolution:.4f}, uncertainty {q.uncertainty:.4f}"
        shown["calibration of Q"] = [f"Brier {q.brier:.4f}: {parts}, within bins {q.within_bins:+.4f}", *table(lines)]
    if found.pooled:
        values = {name: mean for name, (_, mean) in found.within.items()} | found.pooled
        lines = [{"Q and stability": name, "rank correlation": f"{value:+.3f}", "problems": str(value.n)}
                 for name, value in values.items()]  # fmt: skip
        shown[f"rank correlations, {found.mixed} mixed problems"] = table(lines)
    return shown


def _points(value: Interval, spec: str) -> str:
    return f"{Interval(100 * value.estimate, 100 * value.low, 100 * value.high, value.level, value.n):{spec}}"


def metrics(found: Found) -> dict[str, float]:
    """Everything in the tables as metrics."""
    named = {}
    for depth, rows in found.tables.items():
        named |= interval_metrics(f"accuracy/depth_{depth}/clean", found.clean[depth])
        for row in rows:
            at = f"depth_{depth}/K_{row.k}/{row.selector}"
            named |= interval_metrics(f"accuracy/{at}", row.accuracy) | interval_metrics(f"gap/{at}", row.gap)
            named |= interval_metrics(f"over_majority/{at}", row.over_majority)
    if q := found.calibration:
        named |= interval_metrics("calibration/brier", q.brier)
        named |= {f"calibration/{part}": getattr(q, part) for part in ("reliability", "resolution", "uncertainty")}
    for name, value in ({name: mean for name, (_, mean) in found.within.items()} | found.pooled).items():
        named |= interval_metrics(f"rank_correlation/{name}", value)
    return named | {"mixed_problems": float(found.mixed)}


def _report(label: str, result: StochasticResult, found: Found, folder: JobFolder, tracker: Tracker, run: str) -> None:
    text = "\n\n".join(f"{title}\n  " + "\n  ".join(lines) for title, lines in tables(found).items())
    words = sentences(label, found)
    print("\n" + text + "\n\nfound\n  " + "\n  ".join(words))
    (folder.path / "tables.txt").write_text(text + "\n")
    tracker.summary(run, metrics(found))
    tracker.tags(run, {"mlflow.note.content": "\n\n".join(words)})
    for name in ("tables.txt", "result.npz", "study.json"):
        tracker.artifact(run, folder.path / name)
    print("\nfigures")
    for path in draw(label, found, folder.path / "figures"):
        tracker.artifact(run, path, "figures")
        print(f"  {path}")
    command, link = tracker.ui()
    print(f"\nresult    {folder.path / 'result.npz'}\nMLflow    {command}\n          {link}")


def draw(label: str, found: Found, target: Path) -> list[Path]:
    """Fig. 4 at every depth as PNG files; panels b and c are those of the last depth."""
    from rrm.figures import save
    from rrm.figures.selection import selection_figure

    target.mkdir(exist_ok=True)
    paths = []
    for depth, rows in found.tables.items():
        paths.append(target / f"fig4_selection_depth_{depth}.png")
        figure = selection_figure(label, rows, depth, found.clean[depth], found.calibration, found.within, found.pooled)
        save(figure, paths[-1])
    return paths
