"""Training of SRM by the paper's recipe for as long as time is left: accuracy over minutes, and a checkpoint in parts.

The recipe is that of the whole training, of which a run does a stretch and the next one goes on: the depth of the model
grows over the whole.
"""

import tempfile
import time
from dataclasses import replace
from pathlib import Path

from rrm.errors import InputError
from rrm.tasks import get_task
from rrm.tasks.splits import Splits, generate_splits, read_splits
from rrm.training import checkpoint
from rrm.training.assemble import assemble
from rrm.training.trainer import Trainer
from tests.gpu.parts import MANIFEST, cut, join
from tests.gpu.session import CHECKPOINT, Session
from tests.gpu.step_time import faster_compiled

# What ends a run in time: an interval may take so many times the last one (the depth grows), and saving so long.
SLACK, SAVING_S = 1.5, 5.0


def run(session: Session) -> None:
    sizes = session.sizes
    splits = _puzzles(session)
    task, data_hash = get_task(splits.train.task), splits.content_hash()
    if task.name != sizes.task:
        raise InputError(f"--data {session.data} holds {task.name}: this check trains on {sizes.task}")
    recipe = sizes.recipe("srm_sudoku", evaluations=sizes.evaluations)
    recipe = replace(recipe, compiled=faster_compiled(session.found.get("step_time", [])))
    trainer = assemble(recipe, task, splits.train, splits.validation, device=session.device)
    parts = session.out / CHECKPOINT
    if (parts / MANIFEST).exists():
        _load(trainer, parts, data_hash)
    for row in session.found.get("training", []):
        if row.get("step", trainer.step + 1) <= trainer.step:
            session.row(**row)
    if trainer.step >= trainer.total_steps:
        return
    began = saved = time.monotonic()
    for metrics in trainer.run():
        _row(session, trainer, metrics)
        now = time.monotonic()
        over = session.left < SLACK * (now - began) + (SAVING_S if session.device == "cuda" else 0.5)
        if over or now - saved >= sizes.save_every_s or trainer.step >= trainer.total_steps:
            _save(session, trainer, parts, data_hash)
            saved = now
        if over:
            return
        began = now


def _puzzles(session: Session) -> Splits:
    """The puzzles of `--data`, or generated ones; kept beside the results for the next run."""
    sizes, cache = session.sizes, session.out / "puzzles"
    if session.data:
        return read_splits(session.data, sizes.puzzles, 0, cache)
    return generate_splits(sizes.task, sizes.puzzles, 0, None, cache)


def _row(session: Session, trainer: Trainer, metrics: dict[str, float]) -> None:
    exact, cells, loss = (metrics[name] for name in ("validation/exact", "validation/cells", "train/lm_loss"))
    minutes = sum(trainer.seconds.values()) / 60
    says = (
        f"{minutes:.2f} minutes: {exact:.1%} of the puzzles solved, {cells:.1%} of the cells right, loss {loss:.3f}, "
        f"depth {trainer.objective.segments} x {trainer.model.config.L_cycles}"
    )
    case = f"step {trainer.step} of {trainer.total_steps}"
    session.row(case, says, step=trainer.step, minutes=minutes, exact=exact, cells=cells, loss=loss)


def _save(session: Session, trainer: Trainer, parts: Path, data_hash: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        trainer.save(folder, data_hash)
        cut(Path(folder), parts, session.sizes.part_bytes, f"step-{trainer.step}")


def _load(trainer: Trainer, parts: Path, data_hash: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        join(parts, Path(folder))
        if checkpoint.read_meta(Path(folder))["data_hash"] != data_hash:
            raise InputError(f"{parts}: its training had other puzzles; give the same --data, or another --out")
        trainer.load(folder)
