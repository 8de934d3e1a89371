"""The claim on the puzzle graph as a source of puzzles: useful ones a second of the solver."""

from dataclasses import replace
from math import log, nan

from rrm.reports.claims.claim import Claim
from rrm.reports.claims.evidence import Evidence

# Metrics of a study of new puzzles (`rrm.reports.proposals`) without their first part. Blind walks begin at any puzzle.
GRAPH, BLIND, FRESH = (f"{way}/useful_per_cpu_s" for way in ("graph", "graph_any_start", "fresh"))


def _faster(found: Evidence) -> dict[int, float]:
    """Log of the rate of the graph over that of the generator, by seed; nan where one of them finds nothing."""

    def of_seed(rates: dict[str, float]) -> float:
        graph, fresh = rates.get(GRAPH, nan), rates.get(FRESH, nan)
        return log(graph / fresh) if graph > 0 and fresh > 0 else nan

    return {seed: of_seed(dict(rates)) for seed, rates in found.proposals.items()}


def _blindly(found: Evidence) -> Evidence:
    """The evidence with walks that know nothing of the model."""
    return replace(found, proposals={seed: {**of, GRAPH: of.get(BLIND, nan)} for seed, of in found.proposals.items()})


PROPOSALS: tuple[Claim, ...] = (
    Claim(
        name="proposals/graph_faster",
        words="walks from half solved puzzles find puzzles that a model half solves faster than the generator does",
        test="log of useful puzzles a CPU-second of the solver, over those of fresh puzzles; control: walks from any",
        evidence="proposals",
        effect=_faster,
        smallest=log(1.25),
        control=_blindly,
    ),
)
