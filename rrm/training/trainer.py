"""The training loop: plain PyTorch, one process or one of several ranks; Ray only calls it."""

import copy
import json
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from rrm.files import refusing
from rrm.models import State, build, describe
from rrm.models.official import load_strictly
from rrm.tasks.base import PuzzleSet, Task
from rrm.training import checkpoint, interventions
from rrm.training.deep_supervision import DeepSupervision
from rrm.training.evaluate import evaluate
from rrm.training.flosser import Flosser
from rrm.training.last_step import LastStepSupervision
from rrm.training.objective import Carry
from rrm.training.optim import EMA, AdamATan2, SignSGD
from rrm.training.recipe import Recipe
from rrm.training.schedule import lr_factor
from rrm.training.stream import TrainStream

HOW = ("micro_batches", "compiled")  # not what a recipe trains, but how: what one has begun another may end


class Diverged(ArithmeticError):
    """The loss stopped being finite."""


def more_micro_batches(puzzles: int, micro_batches: int) -> int | None:
    """The next number of equal parts of so many puzzles; None if each is a single puzzle already."""
    return next((n for n in range(micro_batches + 1, puzzles + 1) if puzzles % n == 0), None)


class Trainer:
    """One training run: `for metrics in trainer.run(): ...` yields after each of the recipe's evaluations.

    `wrap` turns the objective into its distributed form (`DistributedDataParallel`); `world` workers share each batch,
    all call `run` and `save`, and the first one evaluates and writes.
    Where a step does not fit the memory of a single worker, `micro_batches` grows and the step is done again. Among
    several workers the error is raised: the others are waiting, and all have to begin again with more parts.
    The best weights are those with the highest exact accuracy on `validation` (ties: more right cells). Test puzzles
    are never seen here.
    """

    def __init__(
        self,
        recipe: Recipe,
        task: Task,
        train: PuzzleSet,
        validation: PuzzleSet,
        *,
        rank: int = 0,
        world: int = 1,
        device: str = "cpu",
        wrap: Callable[[nn.Module], nn.Module] = lambda module: module,
    ):
        torch.manual_seed(recipe.seed)
        self.recipe, self.task, self.validation = recipe, task, validation
        self.rank, self.world, self.device = rank, world, torch.device(device)
        self.model = build(recipe.model).to(self.device)
        perturbation = interventions.perturbation(**recipe.perturbation)
        flossing = interventions.flossing(recipe.flossing)
        shared = {"seed": recipe.seed, "rank": rank, "world": world}
        self.flosser = Flosser(flossing, self.model, train, task, **shared) if flossing else None
        self.growth = recipe.growth_schedule()
        if self.model.carries_state:
            objective = DeepSupervision(self.model, perturbation, recipe.halt_max_steps, recipe.halt_exploration_prob)
        else:
            objective = LastStepSupervision(self.model, perturbation, self.growth.base_H, recipe.prob_detach_prev_H)
        self.bare_objective, self.objective = objective, wrap(objective)
        self.optimizer = AdamATan2(
            self.model.parameters(), lr=recipe.lr, betas=recipe.betas, weight_decay=recipe.weight_decay
        )
        table = getattr(self.model, "puzzle_emb", None)
        self.puzzle_optimizer = table and SignSGD(table, recipe.puzzle_lr, recipe.puzzle_weight_decay)
        self.ema = EMA(self.model, recipe.ema_decay)
        self.averaged = copy.deepcopy(self.model)
        if recipe.compiled:
            for network in {self.model.network(half) for half in ("H", "L")}:
                network.compile()
        self.stream = TrainStream(train, task, recipe.batch_size, recipe.seed, rank, world)
        self.carry = objective.initial_carry(self._batch(0))
        self.step, self.call_units = 0, 0
        self.share, self.micro_batches = recipe.share(world), recipe.micro_batches
        self.trajectories = perturbation.trajectories
        self.total_steps = recipe.steps(self.model, self.trajectories)
        # The evaluations split the budget evenly, so that arms of different cost are compared at equal call units.
        self.evaluation_steps = [
            round(self.total_steps * (i + 1) / recipe.evaluations) for i in range(recipe.evaluations)
        ]
        self.seconds = {"train": 0.0, "evaluate": 0.0}
        self.best: dict = {"exact": -1.0, "cells": -1.0, "step": 0, "call_units": 0, **self._how_to_run()}
        self.curve: list[float] = []  # exact accuracy on validation, by evaluation
        self.best_weights = self.ema.weights(self.model)

    def run(self) -> Iterator[dict[str, float]]:
        """Train to the end of the budget, yielding the metrics of each evaluation."""
        while self.step < self.total_steps:
            target = next(s for s in self.evaluation_steps if s > self.step)
            started, sums = time.perf_counter(), {}
            while self.step < target:
                for name, value in self._train_step().items():
                    sums[name] = sums.get(name, 0.0) + value
            totals = [torch.as_tensor(value, dtype=torch.float64, device=self.device) for value in sums.values()]
            totals = torch.stack(totals)
            if self.world > 1:
                dist.all_reduce(totals)
            self.seconds["train"] += time.perf_counter() - started
            totals = dict(zip(sums, totals.tolist(), strict=True))
            if not np.isfinite(totals["loss"]):
                raise Diverged(f"the training loss is not finite at step {self.step}")
            yield self._evaluate(totals) if self.rank == 0 else {}

    def _batch(self, step: int) -> dict[str, torch.Tensor]:
        return {key: value.to(self.device) for key, value in self.stream.batch(step).items()}

    def _train_step(self) -> dict[str, torch.Tensor]:
        self.model.train()
        self._grow()
        self._floss()
        self.bare_objective.progress = self.step / self.total_steps
        metrics, self.carry = self._gradients(self._batch(self.step))
        self.step += 1
        depth = self.growth.depth(self.step, self.total_steps)
        self.call_units += self.recipe.call_units(self.model, depth) * self.recipe.batch_size * self.trajectories
        if self.recipe.clip_norm:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip_norm)
        factor = self._lr_factor()
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.lr * factor
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.puzzle_optimizer:
            self.puzzle_optimizer.lr = self.recipe.puzzle_lr * factor
            self.puzzle_optimizer.step()
        self.ema.update(self.model)
        return metrics

    def _gradients(self, batch: dict[str, Tensor]) -> tuple[dict[str, Tensor], Carry]:
        """The gradients of a step, in as many parts as it takes to fit the memory; -> (metrics, next carry)."""
        while True:
            try:
                return self._gradients_in_parts(batch)
            except torch.OutOfMemoryError:
                more = more_micro_batches(self.share, self.micro_batches)
                if self.world > 1 or not more:
                    raise
            # Beyond the handler: the traceback held on to what was computed.
            self.micro_batches = more
            self.optimizer.zero_grad(set_to_none=True)
            if self.puzzle_optimizer:
                self.puzzle_optimizer.zero_grad()
            if self.device.type == "cuda":
                torch.cuda.empty_cache()

    def _gradients_in_parts(self, batch: dict[str, Tensor]) -> tuple[dict[str, Tensor], Carry]:
        parts, size, sums = [], self.share // self.micro_batches, {}
        for number in range(self.micro_batches):
            rows = slice(number * size, (number + 1) * size)
            # Fresh per step and part, so that an interrupted run resumes with the very same noise. A part has the noise
            # of the worker that it would be the whole batch of.
            part = self.rank * self.micro_batches + number
            seed = np.random.SeedSequence([self.recipe.seed, self.step, part]).generate_state(1, np.uint64)[0]
            generator = torch.Generator().manual_seed(int(seed >> 1))
            # Workers exchange gradients once a step.
            more = number + 1 < self.micro_batches and isinstance(self.objective, DistributedDataParallel)
            with self.objective.no_sync() if more else nullcontext():
                carry = self.carry.part(rows, self.trajectories)
                mine = {key: value[rows] for key, value in batch.items()}
                loss, carry, metrics = self.objective(carry, mine, generator)
                (loss / self.micro_batches).backward()
            parts.append(carry)
            # Means are taken over the steps of an evaluation interval; a NaN anywhere stays visible in the sum.
            for name, value in {**metrics, "loss": loss.detach(), "steps": torch.ones(())}.items():
                sums[name] = sums.get(name, 0.0) + value
        return sums, Carry.join(parts, self.trajectories)

    def _grow(self) -> None:
        """Set the depth of the coming step."""
        step = self.step + 1
        if self.model.carries_state:
            return
        self.bare_objective.depth, L_cycles = self.growth.depth(step, self.total_steps)
        for model in (self.model, self.averaged):
            model.set_L_cycles(L_cycles)
        if step == self.growth.last_transition(step, self.total_steps) and self.recipe.moment_reset_scale != 1:
            for moments in self.optimizer.state.values():
                for name in ("exp_avg", "exp_avg_sq"):
                    moments[name].mul_(self.recipe.moment_reset_scale)

    def _floss(self) -> None:
        """The flossing episode that comes before the coming step, if there is one."""
        due = self.flosser.settings.episodes_at(self.total_steps) if self.flosser else []
        if self.step not in due:
            return
        settings, depth = self.flosser.settings, self.segments
        record = self.flosser.episode(due.index(self.step), depth)
        if not np.isfinite([record["loss"], record["gradient_norm"], record["task_loss_after"]]).all():
            raise Diverged(f"gradient flossing is not finite before step {self.step + 1}")
        self.call_units += settings.steps * settings.units(depth, len(self.model.segment_calls))
        if self.step == 0:
            # Training starts from the flossed weights, and so does their average.
            self.ema = EMA(self.model, self.recipe.ema_decay)

    def _lr_factor(self) -> float:
        r = self.recipe
        factor = lr_factor(self.step, self.total_steps, r.warmup_steps, r.lr_min_ratio)
        transition = self.growth.last_transition(self.step, self.total_steps)
        if transition and r.transition_warmup_steps:
            # 0 at the growth step itself.
            factor *= min(1.0, (self.step - transition) / r.transition_warmup_steps)
        return factor

    @property
    def segments(self) -> int:
        """How deep a rollout is evaluated at this step."""
        return self.recipe.halt_max_steps if self.model.carries_state else self.bare_objective.depth

    def _how_to_run(self) -> dict:
        """What weights of this step need to be run as they were evaluated."""
        return {"model": describe(self.model), "segments": self.segments}

    def _evaluate(self, sums: dict[str, float]) -> dict[str, float]:
        started = time.perf_counter()
        load_strictly(self.averaged, self.ema.weights(self.model))
        scores = evaluate(self.averaged, self.validation, self.task, self.segments)
        self.curve.append(scores["exact"])
        if (scores["exact"], scores["cells"]) > (self.best["exact"], self.best["cells"]):
            found = {"exact": scores["exact"], "cells": scores["cells"]}
            self.best = found | {"step": self.step, "call_units": self.call_units, **self._how_to_run()}
            self.best_weights = self.ema.weights(self.model)
        self.seconds["evaluate"] += time.perf_counter() - started
        halted = max(sums["halted"], 1.0)
        realised = {name: sums[name] / sums["steps"] for name in sums if name.startswith("realised_sigma")}
        return {
            "step": self.step,
            "evaluation": self.evaluation_steps.index(self.step) + 1,
            "budget_percent": 100 * self.step / self.total_steps,
            "call_units": float(self.call_units),
            "train/loss": sums["loss"] / sums["steps"],
            "train/lm_loss": sums["lm_loss"] / sums["rows"],
            "train/q_loss": sums["q_loss"] / sums["rows"],
            "train/exact": sums["halted_exact"] / halted,
            "train/cells": sums["halted_cells"] / halted,
            "train/halting_step": sums["halted_steps"] / halted,
            "train/micro_batches": float(self.micro_batches),
            **{f"perturbation/{name}": value for name, value in realised.items()},
            **{f"validation/{name}": value for name, value in scores.items()},
            # What a search maximises: exact accuracy, the right cells deciding between equals.
            "validation/objective": scores["exact"] + 0.01 * scores["cells"],
            "validation/best_exact": self.best["exact"],
            "validation/best_step": self.best["step"],
            "validation/best_call_units": float(self.best["call_units"]),
            # The evaluations are evenly spaced in the budget: their mean is the area under the learning curve.
            "validation/area": sum(self.curve) / len(self.curve),
            **(self.flosser.metrics() if self.flosser else {}),
            **{f"time/{name}_s": value for name, value in self.seconds.items()},
        }

    def save(self, folder: Path | str, data_hash: str) -> None:
        """Write a checkpoint (see `rrm.training.checkpoint`) into an existing folder."""
        tensors = self._training_tensors()
        if self.rank > 0:
            return
        folder = Path(folder)
        checkpoint.save_tensors(self.ema.weights(self.model), folder / "final.safetensors")
        checkpoint.save_tensors(self.best_weights, folder / "best.safetensors")
        checkpoint.save_tensors(tensors, folder / "training.safetensors")
        meta = {"recipe": self.recipe.to_dict(), "task": self.task.name, "data_hash": data_hash}
        meta |= {"best": self.best, "final": {"step": self.step, **self._how_to_run()}}
        meta |= {"curve": self.curve, "seconds": self.seconds, "call_units": self.call_units}
        meta |= {"parts": self.world * self.micro_batches}
        meta |= {"flossing": self.flosser.records} if self.flosser else {}
        checkpoint.write_meta(folder, meta)

    def load(self, folder: Path | str) -> None:
        """Carry on from a checkpoint of the same recipe; on one worker the run continues bit for bit.

        InputError for files that are damaged or of another recipe.
        """
        with refusing(Path(folder), "checkpoint of this training", "start it anew"):
            self._load(Path(folder))

    def _load(self, folder: Path) -> None:
        meta = checkpoint.read_meta(folder)
        recipe = json.loads(json.dumps(self.recipe.to_dict()))
        for key, before in meta["recipe"].items():
            if key not in HOW and recipe.get(key, before) != before:
                raise ValueError(f"it is of another recipe: {key} = {before}, not {recipe[key]}")
        tensors = checkpoint.load_tensors(folder / "training.safetensors")
        part: dict[str, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            head, name = key.split("/", 1)
            part.setdefault(head, {})[name] = value.to(self.device)
        load_strictly(self.model, part["model"])
        self.ema.shadow = part["ema"]
        named = dict(self.model.named_parameters())
        for key, value in part.get("optimizer", {}).items():
            slot, name = key.split("/", 1)
            self.optimizer.state[named[name]][slot] = value.cpu() if slot == "step" else value
        carry = part["carry"]
        data = {name: carry[f"data.{name}"] for name in self.carry.data}
        whole = Carry(State(*(carry[name] for name in State._fields)), carry["steps"], carry["halted"], data)
        self.carry = whole.part(self.stream.mine, self.trajectories)
        # What once did not fit the memory is not tried again.
        parts = meta.get("parts", 1) // self.world
        self.micro_batches = max(self.micro_batches, parts if parts and self.share % parts == 0 else 1)
        self.best_weights = checkpoint.load_tensors(folder / "best.safetensors")
        self.step, self.best, self.seconds = meta["final"]["step"], meta["best"], meta["seconds"]
        self.call_units, self.curve = meta["call_units"], meta["curve"]
        if self.flosser:
            self.flosser.load(part.get("flossing", {}), meta["flossing"])

    def _training_tensors(self) -> dict[str, Tensor]:
        tensors = {f"model/{name}": value for name, value in self.model.state_dict().items()}
        tensors |= {f"ema/{name}": value for name, value in self.ema.shadow.items()}
        for name, parameter in self.model.named_parameters():
            for slot, value in self.optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer/{slot}/{name}"] = value
        if self.flosser:
            tensors |= {f"flossing/{name}": value for name, value in self.flosser.tensors().items()}
        for name, half in zip(State._fields, self.carry.state, strict=True):
            tensors[f"carry/{name}"] = self._everyones(half, self.trajectories)
        for name in ("steps", "halted"):
            tensors[f"carry/{name}"] = self._everyones(getattr(self.carry, name))
        return tensors | {f"carry/data.{name}": self._everyones(value) for name, value in self.carry.data.items()}

    def _everyones(self, mine: Tensor, trajectories: int = 1) -> Tensor:
        """The rows of all workers in the order of the global batch; rows are [trajectories * B, ...]."""
        if self.world == 1:
            return mine
        parts = [torch.empty_like(mine) for _ in range(self.world)]
        dist.all_gather(parts, mine.contiguous())
        return torch.cat([part.unflatten(0, (trajectories, -1)) for part in parts], dim=1).flatten(0, 1)
