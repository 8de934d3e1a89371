"""The memory does not hold a batch."""

from dataclasses import replace

from tests.endurance.fault_table.comparison import records
from tests.endurance.fault_table.registry import expect, fault, said
from tests.endurance.fault_table.row import Row


@fault("out-of-memory", "out of memory in the analysis")
def out_of_memory(row: Row) -> None:
    """Batches above 8 do not fit: the study halves them and says so; the exponents stay, their rounding may differ."""
    import numpy as np

    from rrm.dynamics import load_result

    done = row.run(*row.table.study(row), faults="memory@batch:1*")
    expect(row, done, 0, "out of memory: going on with 8 puzzles at a time")
    row.sees = said(done, "out of memory")
    mine, other = (load_result(s / "job" / "result.safetensors") for s in (row.runs, row.table.whole_study.storage))
    close = np.allclose(mine.lambda_per_call, other.lambda_per_call, atol=1e-4)
    row.want(close and np.array_equal(mine.solved, other.solved), "other exponents")
    row.want(mine.settings == replace(other.settings, batch=8), f"settings {mine.settings}")
    row.lost = "shards in hand"
    row.check_orphans()


@fault("out-of-memory-training", "out of memory in training")
def out_of_memory_in_training(row: Row) -> None:
    """The batch does not fit: every trial goes on in two parts, which draw noise of their own."""
    done = row.run(*row.table.sweep(row), faults="memory@rows:1*")
    expect(row, done, 0, "trial-000 ran out of memory: it goes on with 2 micro-batches a step")
    row.sees = said(done, "trial-000 ran out of memory")
    mine, other = (
        [(t["name"], t["failed"], t["final"]["step"] if not t["stopped_early"] else 0) for t in found["searched"][:2]]
        for found in (records(s / "job")["trials"] for s in (row.runs, row.table.whole_sweep.storage))
    )
    row.want(mine == other, f"the baselines are {mine}, not {other}")
    row.lost = "the step in hand, once"
    row.check_orphans()
