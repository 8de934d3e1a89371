"""What the trainings of a stability study say: growth by arm, by norm and at matched loss, and what tells arms apart.

Rates are nats per optimizer step, intervals are those of Student's t over seeds, ratios are geometric means over seeds.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy.stats import spearmanr

from rrm.statistics.events import first_crossing
from rrm.statistics.interval import Interval
from rrm.statistics.means import mean_interval
from rrm.toys.training_stability import NORMS, StabilityRun

# Seeds below which no verdict is given.
VERDICT_SEEDS = 5
# The claim under test: how many times as fast a training that will generalise was said to expand.
CLAIMED = (5.0, 10.0)
# Steps behind a row over which a running rate is taken.
RUNNING = 100

Runs = Mapping[str, Sequence[StabilityRun]]


def by_arm(runs: Sequence[StabilityRun]) -> dict[str, list[StabilityRun]]:
    """The trainings of each arm in the order of their seeds, of the seeds that every arm has."""
    arms = list(dict.fromkeys(run.arm for run in runs))
    found = {arm: {run.seed: run for run in runs if run.arm == arm} for arm in arms}
    common = sorted(set.intersection(*(set(of_arm) for of_arm in found.values()))) if found else []
    return {arm: [of_arm[seed] for seed in common] for arm, of_arm in found.items()}


def settled(run: StabilityRun) -> tuple[int, int]:
    """First and last step of the rates of a training: its window without the steps in which the tangent turns."""
    begin, end = run.setting["window"]
    return begin + run.setting["settle"], end


def rate(run: StabilityRun, first: float, last: float, norm: str = "weights") -> float:
    """Growth from one step to another, nats per step, between rows by interpolation; nan outside of the window."""
    growth = np.interp([first, last], run.curves["step"], run.curves[f"growth/{norm}"])
    return float((growth[1] - growth[0]) / (last - first))


def plateau_rate(run: StabilityRun, norm: str = "weights") -> float:
    """Growth over the settled window, nats per step; of the arm `decay off` over the last half of what follows.

    The moments still remember the decay in the first half.
    """
    first, last = settled(run)
    return rate(run, (run.setting["plateau"] + last) // 2 if run.arm == "decay off" else first, last, norm)


def common_losses(run: StabilityRun, control: StabilityRun) -> tuple[float, float]:
    """The highest and the lowest training loss, nats, that two trainings both cross in their settled windows.

    Both nan where the losses of the two do not overlap.
    """
    falls = [_falling_loss(of)[1] for of in (run, control)]
    high, low = min(loss[0] for loss in falls), max(loss[-1] for loss in falls)
    return (math.exp(high), math.exp(low)) if low < high else (math.nan, math.nan)


def matched_rates(run: StabilityRun, control: StabilityRun, norm: str = "weights") -> tuple[float, float]:
    """The rates of two trainings while each crosses their `common_losses`; both nan where they have none."""
    bounds = np.log(common_losses(run, control))
    if np.isnan(bounds).any():
        return math.nan, math.nan
    found = []
    for of in (run, control):
        step, loss = _falling_loss(of)
        first, last = np.interp(-bounds, -loss, step)
        found.append(rate(of, first, last, norm))
    return found[0], found[1]


def _falling_loss(run: StabilityRun) -> tuple[np.ndarray, np.ndarray]:
    """Steps and ln training loss of the settled window."""
    first, last = settled(run)
    step = np.array(run.curves["step"])
    inside = (step >= first) & (step <= last)
    # The loss of a full batch falls almost without a break; its running minimum falls without any.
    return step[inside], np.minimum.accumulate(np.log(np.array(run.curves["train/loss"])[inside]))


def ratio_interval(rates: Sequence[float], controls: Sequence[float]) -> Interval:
    """Geometric mean over seeds of the ratio of paired rates, 95 %; all nan where a rate is not positive."""
    values = np.array([rates, controls], float)
    if values.shape[1] < 2 or not (values > 0).all():
        return Interval(math.nan, math.nan, math.nan, 0.95, values.shape[1])
    mean = mean_interval(np.log(values[0] / values[1]))
    return Interval(math.exp(mean.estimate), math.exp(mean.low), math.exp(mean.high), 0.95, mean.n)


def running_rate(run: StabilityRun) -> np.ndarray:
    """Growth over the RUNNING steps before each row [T], nats per step; nan before the settled window has so many."""
    step, growth = np.array(run.curves["step"]), np.array(run.curves["growth/weights"])
    before = np.interp(step - RUNNING, step, growth)
    return np.where(step - RUNNING >= settled(run)[0], (growth - before) / RUNNING, np.nan)


def first_apart(values: np.ndarray, controls: np.ndarray, steps: Sequence[int]) -> int | None:
    """First step from which on, to the last, all seeds of one arm lie on one side of all seeds of another.

    Args:
        values, controls: [seeds, T] of either arm; rows with nan are not apart.
        steps: [T].
    """
    above = values.min(0) > controls.max(0)
    below = values.max(0) < controls.min(0)
    for side in (above, below):
        joined = np.flatnonzero(~side)
        start = 0 if joined.size == 0 else int(joined[-1]) + 1
        if start < len(steps):
            return int(steps[start])
    return None


# By name the series of a training that could announce that it will generalise, a value a row.
GROWTH = f"growth rate of {RUNNING} steps"
INDICATORS: dict[str, Callable[[StabilityRun], np.ndarray]] = {
    GROWTH: running_rate,
    "gini": lambda run: np.array(run.curves["gini"]),
    "weight norm": lambda run: np.array(run.curves["weight_norm"]),
    "test loss": lambda run: np.array(run.curves["test/loss"]),
    "test accuracy": lambda run: np.array(run.curves["test/accuracy"]),
}


def stability_lines(runs: Sequence[StabilityRun]) -> list[str]:
    """The tables of a study, and its sentences from VERDICT_SEEDS seeds on."""
    arms = by_arm(runs)
    if not arms or not next(iter(arms.values())):
        return ["no seed has every arm yet"]
    lines = [*_seeds(arms), "", *_norms(arms), "", *_twins(arms)]
    if "grokking" in arms and len(arms) > 1:
        lines += ["", *_matched(arms), "", *_signs(arms), "", *sentences(arms)]
    return lines


def _seeds(arms: Runs) -> list[str]:
    first = next(iter(arms.values()))
    begin, end = settled(first[0])
    title = f"growth of nearby trainings, 1e-3 nats per step in dw, steps {begin} to {end}"
    lines = [f"{title}; steps of 50 % and 95 % test accuracy of the arm grokking"]
    lines.append("  seed " + " ".join(f"{arm:>17}" for arm in arms) + "    50 %    95 %")
    for row, run in enumerate(first):
        cells = " ".join(f"{1e3 * plateau_rate(of[row]):17.2f}" for of in arms.values())
        steps = [_crossed(arms["grokking"][row], level) for level in (0.5, 0.95)] if "grokking" in arms else []
        lines.append(f"  {run.seed:4} {cells} " + " ".join(f"{'never' if s is None else s:>7}" for s in steps))
    if len(first) > 1:
        means = (mean_interval([1e3 * plateau_rate(run) for run in of]) for of in arms.values())
        lines.append("  mean " + " ".join(f"{mean:.2f}".rjust(17) for mean in means))
    return lines


def _norms(arms: Runs) -> list[str]:
    lines = ["growth by norm, 1e-3 nats per step, mean over seeds"]
    lines.append("  norm      " + " ".join(f"{arm:>17}" for arm in arms))
    for norm in NORMS:
        means = (np.mean([1e3 * plateau_rate(run, norm) for run in of]) for of in arms.values())
        lines.append(f"  {norm:9} " + " ".join(f"{mean:17.2f}" for mean in means))
    return lines


def _twins(arms: Runs) -> list[str]:
    lines = ["twin beside tangent after the plateau step: largest difference of their rates between jumps, and jumps"]
    for arm, of in arms.items():
        worst = max(abs(run.twin - run.tangent) for run in of)
        lines.append(f"  {arm:17} {worst:9.1e} nats per step, {sum(run.jumps for run in of)} jumps")
    return lines


def _matched(arms: Runs) -> list[str]:
    lines = ["grokking against control: ratio of rates [95 %] at equal steps, and at equal training loss in each norm"]
    for arm, of in arms.items():
        if arm == "grokking":
            continue
        same_steps = [[plateau_rate(run) for run in side] for side in (arms["grokking"], of)]
        lines.append(f"  {arm:17} equal steps         {ratio_interval(*same_steps):.2f}")
        if arm == "decay off":
            continue
        pairs = zip(arms["grokking"], of, strict=True)
        high, low = np.exp(np.mean(np.log([common_losses(*pair) for pair in pairs]), 0))
        lines.append(f"  {'':17} losses of both      {high:.2g} to {low:.2g} nats, means over seeds")
        for norm in NORMS:
            lines.append(f"  {'':17} equal loss {norm:9}{_matched_ratio(arms, arm, norm):.2f}")
    return lines


def _signs(arms: Runs) -> list[str]:
    earliest = settled(arms["grokking"][0])[0] + RUNNING
    title = "what tells the arms apart: first step from which all seeds lie on one side, to the end of the window"
    lines = [f"{title} (growth is known from step {earliest})"]
    for arm in ("shuffled answers", "no decay"):
        if arm in arms:
            for name, series in INDICATORS.items():
                step = _apart(arms["grokking"], arms[arm], series)
                lines.append(f"  grokking from {arm:17} {name:27} {'never' if step is None else step:>7}")
    # A training that does not get there in its steps is later than all that do.
    steps = [math.inf if (step := _crossed(run, 0.5)) is None else step for run in arms["grokking"]]
    if len(steps) >= VERDICT_SEEDS and len(set(steps)) > 1:
        test = spearmanr([plateau_rate(run) for run in arms["grokking"]], steps)
        found = f"Spearman {test.statistic:+.2f} (p = {test.pvalue:.2g}, {len(steps)} seeds)"
        lines.append(f"  rate on the plateau against the step of 50 % test accuracy: {found}")
    return lines


def _apart(
    runs: Sequence[StabilityRun], controls: Sequence[StabilityRun], series: Callable[[StabilityRun], np.ndarray]
) -> int | None:
    end = settled(runs[0])[1]
    steps = [step for step in runs[0].curves["step"] if step <= end]
    values, others = (np.array([series(run)[: len(steps)] for run in side]) for side in (runs, controls))
    return first_apart(values, others, [int(step) for step in steps])


def sentences(arms: Runs) -> list[str]:
    """What the study says of the claim that the plateau before generalisation expands CLAIMED times as fast."""
    grokking = arms["grokking"]
    if len(grokking) < VERDICT_SEEDS:
        return [f"{len(grokking)} seeds are too few for a verdict: {VERDICT_SEEDS} or more are needed"]
    low, high = CLAIMED
    found = []
    if "no decay" in arms:
        ratio, of_function = (_matched_ratio(arms, "no decay", norm) for norm in ("weights", "function"))
        steps = ratio_interval(*([plateau_rate(run) for run in side] for side in (grokking, arms["no decay"])))
        if low <= ratio.low and ratio.high <= high:
            held = "confirms"
        elif ratio.high < low or ratio.low > high:
            held = "contradicts"
        else:
            held = "neither confirms nor excludes"
        found.append(
            f"At equal training loss, the map of a training that will generalise expands {ratio:.2f} times as fast as "
            f"without weight decay ({steps:.2f} times at equal steps; {of_function:.2f} times in the change of the "
            f"logits at equal loss; {_known(grokking)}), which {held} the {low:g} to {high:g} times of the first look."
        )
    if "shuffled answers" in arms:
        ratio = _matched_ratio(arms, "shuffled answers", "weights")
        if ratio.low > 1:
            verdict = "so that it tells more than decay and loss do"
        elif ratio.high < 1:
            verdict = "so the expansion is a mark of weight decay, no sign that the training will generalise"
        else:
            verdict = "so no difference is shown beyond decay and loss"
        found.append(
            f"With the same weight decay and shuffled answers, which never generalise, the map expands as well: the "
            f"training that will generalise expands {ratio:.2f} times as fast at equal training loss, {verdict}."
        )
        found.append(_order(grokking, arms["shuffled answers"]))
    return found


def _known(runs: Sequence[StabilityRun]) -> str:
    """How many seeds there are, and how many of them have come to know the test pairs."""
    half, most = (sum(_crossed(run, level) is not None for run in runs) for level in (0.5, 0.95))
    last = runs[0].curves["step"][-1]
    return f"{len(runs)} seeds, of which {half} know half of the test pairs by step {last:g} and {most} know 95 %"


def _order(runs: Sequence[StabilityRun], controls: Sequence[StabilityRun]) -> str:
    """Whether the growth rate tells two arms apart before the other series that could do it early."""
    names = {GROWTH: "the growth rate", "gini": "the Gini coefficient", "weight norm": "the weight norm"}
    found = {name: _apart(runs, controls, INDICATORS[name]) for name in names}
    steps = {name: math.inf if step is None else step for name, step in found.items()}
    order = sorted(names, key=lambda name: steps[name])
    told = ", ".join(
        f"{names[name]} {'never' if found[name] is None else f'from step {found[name]} on'}" for name in order
    )
    leads = order[0] == GROWTH and steps[order[0]] < steps[order[1]]
    known = settled(runs[0])[0] + RUNNING
    return (
        f"The growth rate {'leads' if leads else 'does not lead'}: all seeds lie on one side of those with shuffled "
        f"answers in {told} (growth is known from step {known})."
    )


def _matched_ratio(arms: Runs, control: str, norm: str) -> Interval:
    pairs = [matched_rates(*pair, norm) for pair in zip(arms["grokking"], arms[control], strict=True)]
    return ratio_interval(*zip(*pairs, strict=True))


def _crossed(run: StabilityRun, level: float) -> int | None:
    return first_crossing(np.array(run.curves["step"]), np.array(run.curves["test/accuracy"]), level)
