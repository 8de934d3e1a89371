"""A study of noisy rollouts of one checkpoint: which rollout to believe, and whether Q and stability agree."""

from argparse import Namespace

from rrm.cluster.capacity import Request
from rrm.cluster.fanout import device_of, gather
from rrm.dynamics.sampling import BATCH, PUZZLES
from rrm.dynamics.shards import save_rows
from rrm.dynamics.stochastic import StochasticResult, stochastic_rollouts
from rrm.errors import InputError
from rrm.reports.selection import findings, report
from rrm.studies.study import conduct, prepare, publish_study
from rrm.tasks import get_task
from rrm.tasks.verdict import distinct_outcomes

# Rows (puzzle, rollout) in a batch on an accelerator.
ACCELERATOR_BATCH = 1024


def run_study(args: Namespace) -> None:
    """Run or resume the study that `args` describe and print its report; InputError before anything starts."""
    frame = prepare(args, "selection")
    if len(frame.puzzles) < 2:
        raise InputError("one puzzle says nothing of puzzles: give 2 or more")
    settings = {
        "K": args.K,
        "depths": sorted(args.depth or [frame.source.segments]),
        "sigma": args.sigma,
        "where": args.where,
        "exponent": args.exponent,
        "seed": args.seed,
        "batch_size": rows_together(frame.request),
    }
    label = with_noise(frame.source.label, args.sigma, args.where)
    print(f"model     {label}, {args.K} rollouts of {settings['depths'][-1]} segments")
    print(f"puzzles   {frame.puzzles.task}: {len(frame.puzzles)}")

    def work(record: dict, resources: dict[str, float], run: str) -> None:
        result = gather(
            stochastic_rollouts, StochasticResult, frame.source.model, frame.puzzles, record["settings"],
            frame.folder.path / "rollouts", resources, frame.request, frame.bar("noisy rollouts", len(frame.puzzles)),
            shard=PUZZLES,
        )  # fmt: skip
        save_rows(result, frame.folder.path / "result.npz")
        found = findings(label, result, distinct_outcomes(frame.puzzles, get_task(frame.puzzles.task)))
        publish_study(frame, report(found), run, "result.npz")

    conduct(frame, lambda resources: settings, work)


def rows_together(request: Request) -> int:
    """Rows (puzzle, rollout) of a batch where the tasks of a request compute."""
    return BATCH if device_of(request) == "cpu" else ACCELERATOR_BATCH


def with_noise(label: str, sigma: float, where: str) -> str:
    """The name of a trained model with the noise of its rollouts."""
    return f"{label}, test noise {sigma:g} on {where}"
