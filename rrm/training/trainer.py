"""The training loop: plain PyTorch, one process or one of several ranks; Ray only calls it."""

import copy
import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from rrm.curves import CurveFile
from rrm.files import refusing
from rrm.models.official import load_strictly
from rrm.training import checkpoint
from rrm.training.hook import Hook
from rrm.training.memory import MicroBatches
from rrm.training.objective import Carry, Diverged, Objective, Outcome
from rrm.training.optim import EMA, SignSGD, load_optimizer, optimizer_tensors
from rrm.training.recipe import Recipe, upgrade
from rrm.training.source import Source

# Settings that change speed and memory only. A checkpoint may be resumed with other values.
HOW = ("micro_batches", "compiled")


def unwrapped(objective: nn.Module) -> nn.Module:
    """The objective of a single worker, as it is."""
    return objective


class Trainer:
    """One training run: `for metrics in trainer.run(): ...` yields after each of the recipe's evaluations.

    A step takes a batch from the source, has the objective turn it into gradients, and moves the weights; hooks act in
    between. The best weights are those whose evaluation the objective ranks first, the earlier ones among equals.

    Args:
        recipe: what is trained. `rrm.training.assemble.assemble` builds the other parts from it
        objective, source, hooks: see the contracts
        rank, world: `world` workers share each batch, all call `run` and `save`, and the first one evaluates and writes
        wrap: turns the objective into its distributed form (`DistributedDataParallel`)
        curve: file for a row of each evaluation and each row that a hook makes; that of the first worker
    """

    def __init__(
        self,
        recipe: Recipe,
        objective: Objective,
        source: Source,
        hooks: Mapping[str, Hook],
        *,
        rank: int = 0,
        world: int = 1,
        device: str = "cpu",
        wrap: Callable[[nn.Module], nn.Module] = unwrapped,
        curve: CurveFile | None = None,
    ):
        self.recipe, self.source, self.hooks, self.curve = recipe, source, dict(hooks), curve
        self.rank, self.world, self.device = rank, world, torch.device(device)
        self.objective, self.model = objective, objective.model
        self.share = recipe.share(world)
        self.mine = slice(rank * self.share, (rank + 1) * self.share)
        self.parts = MicroBatches(
            wrap(objective), self.share, recipe.micro_batches, seed=recipe.draws, rank=rank, world=world
        )
        settings = recipe.optimizer_settings
        self.optimizer = settings.build(self.model, recipe.lr, recipe.weight_decay)
        for group in self.optimizer.param_groups:
            group["initial_lr"] = group["lr"]
        table = getattr(self.model, "puzzle_emb", None)
        self.puzzle_optimizer = table and SignSGD(table, settings.puzzle_lr, settings.puzzle_weight_decay)
        self.initial: dict[str, Any] | None = {"step": 0, **objective.how_to_run()}
        self.initial_weights: dict[str, Tensor] | None = _copied(self.model.state_dict())
        self.ema = EMA(self.model, recipe.ema_decay)
        self.averaged = copy.deepcopy(self.model)
        if recipe.compiled:
            objective.compile()
        self.carry = objective.initial_carry(self._batch(0))
        self.step = 0
        self.call_units: float = 0
        # Puzzles that halted in training and the segments that they took (0 for a model without segments), of all
        # workers: arms of equal compute differ in both. None where an older rrm began the training and did not count.
        self.finished: dict[str, int] | None = {"puzzles": 0, "segments": 0}
        self.total_steps = recipe.steps(self.model)
        # The evaluations split the budget evenly, so that arms of different cost are compared at equal call units.
        self.evaluation_steps = [
            round(self.total_steps * (i + 1) / recipe.evaluations) for i in range(recipe.evaluations)
        ]
        self.seconds = {"train": 0.0, "evaluate": 0.0}
        worst = dict.fromkeys(objective.ranking, -1.0)
        self.best: dict[str, Any] = {**worst, "step": 0, "call_units": 0, **objective.how_to_run()}
        self.leading: list[float] = []  # the first score of the ranking, by evaluation
        self.best_weights = self.ema.weights(self.model)
        for hook in self.hooks.values():
            hook.join(self)

    @property
    def micro_batches(self) -> int:
        """Parts of a step's batch: those of the recipe, or more where they did not fit the memory."""
        return self.parts.count

    def charge(self, units: float) -> None:
        """Take call units from the budget."""
        self.call_units += units

    def end_at(self, step: int) -> None:
        """End the training after `step` steps, at the latest after those that it has."""
        self.total_steps = min(step, self.total_steps)
        earlier = [at for at in self.evaluation_steps if at < self.total_steps]
        self.evaluation_steps = [*earlier, self.total_steps]

    def run(self) -> Iterator[dict[str, float]]:
        """Train to the end of the budget, yielding the metrics of each evaluation; nothing in them beside rank 0.

        Raises:
            Diverged: where the loss stops being finite.
        """
        while self.step < self.total_steps:
            begun, started = self.step, time.perf_counter()
            sums: dict[str, Tensor] = {}
            # A hook may end the training before the next evaluation that was planned.
            while self.step < next(s for s in self.evaluation_steps if s > begun):
                for name, value in self._train_step().items():
                    sums[name] = sums.get(name, 0.0) + value
            totals = torch.stack([torch.as_tensor(v, dtype=torch.float64, device=self.device) for v in sums.values()])
            if self.world > 1:
                dist.all_reduce(totals)
            self.seconds["train"] += time.perf_counter() - started
            found = dict(zip(sums, totals.tolist(), strict=True))
            if not np.isfinite(found["loss"]):
                raise Diverged(f"the training loss is not finite at step {self.step}")
            if self.finished:
                self.finished["puzzles"] += int(found["finished"])
                self.finished["segments"] += int(found.get("halted_steps", 0))
            yield self._evaluate(found) if self.rank == 0 else {}

    def _batch(self, step: int) -> dict[str, Tensor]:
        return {key: value.to(self.device) for key, value in self.source.batch(step).items()}

    def _train_step(self) -> dict[str, Tensor]:
        self.model.train()
        self.objective.before_step(self.step, self.total_steps, self.optimizer)
        for hook in self.hooks.values():
            hook.before_step(self.step)
        if self.step == 0:
            # Training starts from what hooks have made of the weights, and so does their average.
            self.ema = EMA(self.model, self.recipe.ema_decay)
        outcome, self.carry = self.parts.gradients(self.step, self._batch(self.step), self.carry, self._forget)
        for hook in self.hooks.values():
            hook.after_backward(self.step)
        self.step += 1
        self.charge(self.recipe.units(self.model, self.step, self.total_steps) * self.recipe.batch_size)
        self._update()
        if self.source.observes:
            self.source.observe(self.step, {name: self._everyones(rows) for name, rows in outcome.rows.items()})
        self._after_step(outcome)
        return outcome.sums | {"finished": outcome.rows["halted"].sum()}

    def _update(self) -> None:
        """Move the weights along the gradients, and their average."""
        recipe = self.recipe
        if recipe.clip_norm:
            nn.utils.clip_grad_norm_(self.model.parameters(), recipe.clip_norm)
        schedule = recipe.SCHEDULES[recipe.schedule]
        factor = schedule(self.step, self.total_steps, recipe.warmup_steps, recipe.lr_min_ratio)
        factor *= self.objective.lr_factor(self.step, self.total_steps)
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.puzzle_optimizer:
            self.puzzle_optimizer.lr = recipe.optimizer_settings.puzzle_lr * factor
            self.puzzle_optimizer.step()
        self.ema.update(self.model)

    def _forget(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        if self.puzzle_optimizer:
            self.puzzle_optimizer.zero_grad()

    def _after_step(self, outcome: Outcome) -> None:
        rows = [hook.after_step(self.step, outcome) for hook in self.hooks.values()]
        for row in filter(None, rows):
            if self.curve:
                self.curve.append(self.step, row)

    def _evaluate(self, sums: dict[str, float]) -> dict[str, float]:
        started = time.perf_counter()
        load_strictly(self.averaged, self.ema.weights(self.model))
        scores = self.objective.evaluate(self.averaged)
        ranks = self.objective.rank(scores)
        self.leading.append(ranks[0])
        if not self.best["step"] or ranks > self.objective.rank(self.best):
            found = {name: scores[name] for name in self.objective.ranking}
            self.best = {**found, "step": self.step, "call_units": self.call_units, **self.objective.how_to_run()}
            self.best_weights = self.ema.weights(self.model)
        self.seconds["evaluate"] += time.perf_counter() - started
        leading, over = self.objective.ranking[0], self.step == self.total_steps
        metrics = {
            "step": self.step,
            "evaluation": self.recipe.evaluations if over else self.evaluation_steps.index(self.step) + 1,
            "budget_percent": 100 * self.step / self.total_steps,
            "call_units": float(self.call_units),
            "train/loss": sums["loss"] / sums["steps"],
            "train/micro_batches": float(self.micro_batches),
            **self.objective.metrics(sums),
            **_finished_metrics(self.finished),
            **{f"validation/{name}": value for name, value in scores.items()},
            # What a search maximises: the first score of the ranking, the next one deciding between equals.
            "validation/objective": sum(0.01**place * rank for place, rank in enumerate(ranks)),
            f"validation/best_{leading}": self.best[leading],
            "validation/best_step": self.best["step"],
            "validation/best_call_units": float(self.best["call_units"]),
            # The evaluations are evenly spaced in the budget: their mean is the area under the learning curve.
            "validation/area": sum(self.leading) / len(self.leading),
            **self.source.metrics(),
            **{name: value for hook in self.hooks.values() for name, value in hook.metrics().items()},
            **{f"time/{name}_s": value for name, value in self.seconds.items()},
        }
        if self.curve:
            self.curve.append(self.step, metrics)
        return metrics

    def save(self, folder: Path | str, data_hash: str) -> None:
        """Write a checkpoint (see `rrm.training.checkpoint`) into an existing folder."""
        tensors = self._training_tensors()
        if self.rank > 0:
            return
        folder = Path(folder)
        weights = {"initial": self.initial_weights, "best": self.best_weights, "final": self.ema.weights(self.model)}
        for name, held in weights.items():
            if held is not None:
                checkpoint.save_tensors(held, folder / f"{name}.safetensors")
        checkpoint.save_tensors(tensors, folder / "training.safetensors")
        for name, hook in self.hooks.items():
            if hook.own_file:
                checkpoint.save_tensors(hook.tensors(), folder / f"{name}.safetensors")
        meta: dict[str, Any] = {
            "recipe": self.recipe.to_dict(),
            "task": self.objective.task_name,
            "data_hash": data_hash,
        }
        meta |= {"initial": self.initial} if self.initial else {}
        meta |= {"best": self.best, "final": {"step": self.step, **self.objective.how_to_run()}}
        meta |= {"curve": self.leading, "seconds": self.seconds, "call_units": self.call_units}
        meta |= {"finished": self.finished, "parts": self.world * self.micro_batches}
        meta |= {"hooks": {name: hook.records for name, hook in self.hooks.items()}}
        checkpoint.write_meta(folder, meta)
        if self.curve:
            self.curve.flush()

    def load(self, folder: Path | str) -> None:
        """Carry on from a checkpoint of the same recipe; on one worker the run continues bit for bit.

        Raises:
            InputError: for files that are damaged or of another recipe.
        """
        with refusing(Path(folder), "checkpoint of this training", "start it anew"):
            self._load(Path(folder))
        if self.curve:
            self.curve.cut(self.step)

    def _load(self, folder: Path) -> None:
        meta = checkpoint.read_meta(folder)
        recipe, saved = (_plain(r) for r in (self.recipe, type(self.recipe)(**upgrade(meta["recipe"]))))
        for key, before in saved.items():
            if key not in HOW and recipe[key] != before:
                raise ValueError(f"it is of another recipe: {key} = {before}, not {recipe[key]}")
        part: dict[str, dict[str, Tensor]] = {}
        for key, value in checkpoint.load_training(folder).items():
            head, name = key.split("/", 1)
            part.setdefault(head, {})[name] = value.to(self.device)
        load_strictly(self.model, part["model"])
        self.ema.shadow = part["ema"]
        load_optimizer(self.optimizer, dict(self.model.named_parameters()), part.get("optimizer", {}))
        self.carry = self.carry.replaced(part.get("carry", {})).part(self.mine)
        self.source.load(part.get("source", {}))
        for name, hook in self.hooks.items():
            own = checkpoint.load_tensors(folder / f"{name}.safetensors") if hook.own_file else None
            hook.load(part.get(f"hook.{name}", {}) if own is None else own, meta["hooks"][name])
        # What once did not fit the memory is not tried again.
        parts = meta.get("parts", 1) // self.world
        self.parts.count = max(self.micro_batches, parts if parts and self.share % parts == 0 else 1)
        self.best_weights = checkpoint.load_tensors(folder / "best.safetensors")
        self.initial = meta.get("initial")  # a checkpoint of version 1 has none
        self.initial_weights = checkpoint.load_tensors(folder / "initial.safetensors") if self.initial else None
        self.step, self.best, self.seconds = meta["final"]["step"], meta["best"], meta["seconds"]
        self.call_units, self.leading, self.finished = meta["call_units"], meta["curve"], meta.get("finished")

    def _training_tensors(self) -> dict[str, Tensor]:
        held = {
            "model": self.model.state_dict(),
            "ema": self.ema.shadow,
            "optimizer": optimizer_tensors(self.optimizer, dict(self.model.named_parameters())),
            "carry": self._whole_carry().tensors(),
            "source": self.source.tensors(),
            **{f"hook.{name}": hook.tensors() for name, hook in self.hooks.items() if not hook.own_file},
        }
        return {f"{head}/{name}": value for head, tensors in held.items() for name, value in tensors.items()}

    def _whole_carry(self) -> Carry:
        """The carry of all workers."""
        if self.world == 1:
            return self.carry
        mine = {name: self._of_each(value) for name, value in self.carry.tensors().items()}
        carries = [
            self.carry.replaced({name: parts[rank] for name, parts in mine.items()}) for rank in range(self.world)
        ]
        return type(self.carry).join(carries)

    def _everyones(self, mine: Tensor) -> Tensor:
        """The rows [B, ...] of all workers, in the order of the global batch."""
        return torch.cat(self._of_each(mine))

    def _of_each(self, mine: Tensor) -> list[Tensor]:
        """A tensor of every worker, by rank."""
        if self.world == 1:
            return [mine]
        parts = [torch.empty_like(mine) for _ in range(self.world)]
        dist.all_gather(parts, mine.contiguous())
        return parts


def _finished_metrics(finished: dict[str, int] | None) -> dict[str, float]:
    """Puzzles that finished since the start of the training, and the mean number of segments that they took."""
    if not finished:
        return {}
    metrics = {"train/finished": float(finished["puzzles"])}
    if finished["segments"]:
        metrics["train/segments_per_puzzle"] = finished["segments"] / finished["puzzles"]
    return metrics


def _copied(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in weights.items()}


def _plain(recipe: Recipe) -> dict[str, Any]:
    """The recipe as JSON gives it back."""
    return json.loads(json.dumps(recipe.to_dict()))
