"""How long a sweep will take, said before it starts: by the pace of one training of each model type, or one rollout."""

import time
from collections.abc import Sequence

from rrm.cluster.capacity import trials_at_once
from rrm.cluster.fanout import device_of, on_device, put_weights, run_tasks
from rrm.dynamics import rollout
from rrm.jobs.recipes import Recipes, TrialRecipe
from rrm.jobs.spec import Config
from rrm.models import recursive
from rrm.studies.study import Frame
from rrm.studies.sweep_run import SweepRun
from rrm.tasks import PuzzleSet, get_task
from rrm.tasks.splits import Splits
from rrm.terminal.progress import duration
from rrm.training.pace import Pace, measure_pace
from rrm.training.stream import to_batch

OVERHEAD_S = 25  # starts of workers, reports, figures and logging of a small sweep
STOPPED_AT = 0.83  # of their budget have the drawn trials on average, half of which are stopped at two thirds
SCORED = 1.7  # weights of a trial on its test puzzles: the best, and the final ones where they are others
PER_EXPONENT = 1.3  # rollouts that each exponent of a spectrum costs beside the plain one
SAMPLE, SEGMENTS = 32, 4  # puzzles and segments of a first rollout


def say_expected(run: SweepRun, fixed: Sequence[Config], count: int) -> None:
    """Print how long the sweep will take."""
    try:
        told = f"about {duration(expected_seconds(run, fixed, count))}, on these {run.at_once} slots without other work"
    except Exception as error:  # a training that fails shall fail as a trial: the report names it, the others go on
        told = f"unknown, because a first training failed: {error}".splitlines()[0]
    print(f"expected  {told}")


def expected_seconds(run: SweepRun, fixed: Sequence[Config], count: int) -> float:
    """Seconds until the report of a sweep of `count` trials, of which `fixed` are known; within a factor of two.

    Every configuration is taken to train at the pace of the first fixed one of its model type and data.
    """
    trials = {number: run.recipes.make(config) for number, config in enumerate(fixed)}
    of_type: dict[tuple[str, str | None], TrialRecipe] = {}
    for trial in trials.values():
        of_type.setdefault((trial.config["model"], trial.data), trial)
    there = device_of(run.request)
    jobs = ((run.recipes, trial, run.splits.get(trial.data or ""), there) for trial in of_type.values())
    # The tasks run on the devices of the trials, one trial each.
    found = {place: pace for place, pace, _ in run_tasks(_pace, jobs, run.resources, run.request)}
    paces = {kind: found[place] for place, kind in enumerate(of_type)}
    training = [paces[trial.config["model"], trial.data].seconds(trial.recipe) for trial in trials.values()]
    typical = sum(training) / len(training)
    drawn = count - len(fixed)
    stops = len(run.objectives) == 1 and not any(one.measure for one in run.objectives.values())
    repeated = 2 * run.preset.seeds * len(paces) if drawn else 0
    work = sum(training) + typical * (drawn * (STOPPED_AT if stops else 1) + repeated)
    rollouts = [_rollouts_s(run, kind[1], pace) for kind, pace in paces.items()]
    work += SCORED * (count + repeated) * sum(rollouts) / len(rollouts)
    if "measure" in run.spec.stages:
        work += (1 + PER_EXPONENT * run.preset.k) * (sum(rollouts) + rollouts[0])
    return OVERHEAD_S + work / run.at_once


def _rollouts_s(run: SweepRun, data: str | None, pace: Pace) -> float:
    """Seconds of one rollout of each test puzzle."""
    if data is None:
        return 0.0
    splits = run.splits[data]
    return pace.evaluation_s * len(splits.test) / len(splits.validation)


def _pace(recipes: Recipes, trial: TrialRecipe, splits: Splits | None, device: str) -> Pace:
    data = (get_task(splits.train.task), splits.train, splits.validation) if splits else (None, None, None)
    return measure_pace(trial.recipe, lambda recipe: recipes.trainer(recipe, *data, device=device))


def say_expected_rollouts(frame: Frame, segments: float, resources: dict[str, float]) -> None:
    """Print how long rollouts of `segments` segments in all take, summed over puzzles."""
    job = (*put_weights(frame.source.model), frame.puzzles.subset(slice(SAMPLE)), device_of(frame.request))
    pace = next(run_tasks(_segment_s, [job], resources, frame.request))[1]
    at_once = trials_at_once(frame.request, resources)
    told = duration(OVERHEAD_S + segments * pace / at_once)
    print(f"expected  about {told}, on these {at_once} slots without other work")


def _segment_s(description: dict, weights: dict, puzzles: PuzzleSet, device: str) -> float:
    """Seconds of a segment of one puzzle."""
    model, batch = (
        recursive(on_device(description, weights, device), "a rollout"),
        to_batch(puzzles, get_task(puzzles.task)),
    )
    rollout(model, batch, 1)  # the first call warms up
    began = time.perf_counter()
    rollout(model, batch, SEGMENTS)
    return (time.perf_counter() - began) / (SEGMENTS * len(puzzles))
