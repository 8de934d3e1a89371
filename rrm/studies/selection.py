"""A study of several rollouts of one checkpoint: which rollout to believe, and whether Q and stability agree."""

from argparse import Namespace

from rrm.cluster.capacity import Request
from rrm.cluster.fanout import device_of, gather
from rrm.dynamics.escape import EscapeResult, escape
from rrm.dynamics.sampling import BATCH, PUZZLES
from rrm.dynamics.shards import save_rows
from rrm.dynamics.stochastic import StochasticResult, stochastic_rollouts
from rrm.errors import InputError
from rrm.halves import NOISE, SYMMETRY
from rrm.reports.selection import findings, report
from rrm.statistics.selection import powers_of_four
from rrm.studies.study import conduct, prepare, publish_study
from rrm.tasks import get_task
from rrm.tasks.verdict import distinct_outcomes

# Rows (puzzle, rollout) in a batch on an accelerator.
ACCELERATOR_BATCH = 1024
# Segments beyond which no rollout without noise is run for comparison.
DEEPEST = 1024


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
        "rollouts": args.rollouts,
        "exponent": args.exponent,
        "seed": args.seed,
        "batch_size": rows_together(frame.request),
    }
    label = with_noise(frame.source.label, args.sigma, args.where, args.rollouts)
    print(f"model     {label}, {args.K} rollouts of {settings['depths'][-1]} segments")
    print(f"puzzles   {frame.puzzles.task}: {len(frame.puzzles)}")

    def work(record: dict, resources: dict[str, float], run: str) -> None:
        result = gather(
            stochastic_rollouts, StochasticResult, frame.source.model, frame.puzzles, record["settings"],
            frame.folder.path / "rollouts", resources, frame.request, frame.bar("rollouts", len(frame.puzzles)),
            shard=PUZZLES,
        )  # fmt: skip
        save_rows(result, frame.folder.path / "result.npz")
        K = record["settings"]["K"]
        longest = max(k * d for d in (1, *result.depths.tolist()) for k in powers_of_four(K) if k * d <= DEEPEST)
        deep = gather(
            escape, EscapeResult, frame.source.model, frame.puzzles,
            {"segments": longest, "seed": record["settings"]["seed"], "batch_size": PUZZLES},
            frame.folder.path / "deep", resources, frame.request, frame.bar("deep rollouts", len(frame.puzzles)),
        )  # fmt: skip
        save_rows(deep, frame.folder.path / "deep.npz")
        outcomes = distinct_outcomes(frame.puzzles, get_task(frame.puzzles.task))
        found = findings(label, result, outcomes, deep=deep)
        publish_study(frame, report(found), run, "result.npz", "deep.npz")

    conduct(frame, lambda resources: settings, work)


def rows_together(request: Request) -> int:
    """Rows (puzzle, rollout) of a batch where the tasks of a request compute."""
    return BATCH if device_of(request) == "cpu" else ACCELERATOR_BATCH


def with_noise(label: str, sigma: float, where: str, rollouts: str = NOISE) -> str:
    """The name of a trained model with what makes its rollouts differ."""
    noise = f", test noise {sigma:g} on {where}"
    if rollouts == SYMMETRY:
        return f"{label}, symmetric copies{noise if sigma else ''}"
    return f"{label}{noise}"
