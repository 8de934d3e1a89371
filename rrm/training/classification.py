"""Classification of the rows of a table, with prices on the routing and on the open gates of a network."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from rrm.errors import InputError
from rrm.models import Answer, TokenModel, describe
from rrm.models.pairs import pair_tokens
from rrm.models.smoothness import RADIUS, low_frequencies
from rrm.tasks.modular import ModularArithmetic
from rrm.training.computation import COSTS, ROUTING, gate_numbers, routing_numbers
from rrm.training.objective import Carry, Objective, ObjectiveSettings, Outcome
from rrm.training.part import Context, Loss, chosen
from rrm.training.token_rows import TokenRows

CHUNK = 4096  # rows of a forward pass that only measures
PRECISIONS = {"float32": torch.float32, "float64": torch.float64}


class Classification(Objective):
    """loss(answer) + routing_weight * regulariser(routing) + price * cost(gates), averaged over the batch.

    At every `smooth_every`-th step also smoothness * (1 - share of low frequencies), of the logits of all pairs.

    The best weights are those of the least loss on the *training* pairs: what is chosen on test pairs is no test. All
    scores are those of the loss alone, without what is added to it.
    """

    ranking: ClassVar[tuple[str, ...]] = ("log_likelihood",)
    model: TokenModel

    def __init__(self, model: TokenModel, loss: Loss, table: ModularArithmetic, settings: "ClassificationSettings"):
        super().__init__(model)
        self.loss, self.table, self.settings = loss, table, settings
        self.task_name, self.smooth_step = table.name, False
        self._sides = {
            side: (torch.from_numpy(table.tokens[rows]), torch.from_numpy(table.targets[rows]))
            for side, rows in (("train", table.train), ("test", ~table.train))
        }

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile the network."""
        self.model.compile(*args, **kwargs)

    def before_step(self, step: int, total_steps: int, optimizer: torch.optim.Optimizer) -> None:
        self.smooth_step = self.settings.smoothness > 0 and step % self.settings.smooth_every == 0

    def forward(
        self, carry: Carry, batch: Mapping[str, Tensor], generator: torch.Generator
    ) -> tuple[Tensor, Carry, Outcome]:
        answer = self.model.respond(self.model.embed(batch["inputs"]))
        losses = self.row_losses(answer.logits, batch["labels"])
        loss = losses.mean() + self.added(answer)
        solved = answer.logits.detach().argmax(-1) == batch["labels"]
        losses = losses.detach()
        sums = {"rows": torch.tensor(float(len(losses))), "lm_loss": losses.sum(), "right": solved.sum()}
        by_row = {"row": batch["rows"], "loss": losses, "solved": solved, "halted": torch.ones_like(solved)}
        return loss, carry, Outcome(sums, by_row)

    def row_losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Nats [B] of logits [B, C] against labels [B], in the precision of the settings."""
        return self.loss(logits.to(torch.promote_types(logits.dtype, PRECISIONS[self.settings.precision])), labels)

    def added(self, answer: Answer) -> Tensor:
        """What the settings add to the mean loss of a batch."""
        settings, added = self.settings, answer.logits.new_zeros(())
        if settings.routing != "none":
            regulariser = ROUTING[settings.routing]
            found = torch.stack([regulariser(weights) for weights in answer.routing.values()])
            added = added + settings.routing_weight * found.mean()
        if settings.price and answer.gates is not None:
            added = added + settings.price * COSTS[settings.cost](answer.gates, self.model.layer_costs)
        if self.smooth_step:
            added = added + settings.smoothness * self.roughness()
        return added

    def roughness(self) -> Tensor:
        """1 - the share of low frequencies in the logits of all pairs, test pairs too: no answer of theirs is used."""
        p, vocabulary = self.table.p, self.table.vocab_size
        device = next(self.model.parameters()).device
        found = []
        for place in range(len(self.table.operations)):
            logits = self.model(pair_tokens(p, place, vocabulary).to(device)).unflatten(0, (p, p))
            found.append(1 - low_frequencies(logits, self.settings.smooth_radius))
        return torch.stack(found).mean()

    @torch.no_grad()
    def measure(self, model: nn.Module) -> dict[str, float]:
        """loss (nats) and accuracy on all pairs of each side, "train/loss" to "test/accuracy", of these weights.

        With routers their mean entropy and the use of each head on the test pairs, and with gates how far each is open.
        """
        assert isinstance(model, TokenModel)
        found: dict[str, float] = {}
        for side, (tokens, targets) in self._sides.items():
            device = next(model.parameters()).device
            loss, right = torch.zeros((), dtype=torch.float64), 0
            for first in range(0, len(tokens), CHUNK):
                labels = targets[first : first + CHUNK].to(device)
                answer = model.respond(model.embed(tokens[first : first + CHUNK].to(device)))
                loss += self.row_losses(answer.logits, labels).double().sum().cpu()
                right += int((answer.logits.argmax(-1) == labels).sum())
            found |= {f"{side}/loss": loss.item() / len(tokens), f"{side}/accuracy": right / len(tokens)}
        return found | routing_numbers(answer.routing) | gate_numbers(answer.gates, model.layer_costs)

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """log_likelihood (nats a training pair, at most 0), train_ and test_accuracy, train_ and test_loss."""
        found = self.measure(model)
        scores = {name.replace("/", "_"): found[name] for name in found if name.startswith(("train/", "test/"))}
        return {"log_likelihood": -found["train/loss"]} | scores

    def metrics(self, sums: Mapping[str, float]) -> dict[str, float]:
        return {"train/lm_loss": sums["lm_loss"] / sums["rows"], "train/accuracy": sums["right"] / sums["rows"]}

    def probe_rows(self, rows: int, seed: int, *, held_out: bool) -> TokenRows:
        tokens, targets = self._sides["test" if held_out else "train"]
        drawn = torch.from_numpy(np.random.default_rng(seed).permutation(len(tokens))[:rows])
        device = next(self.model.parameters()).device
        return TokenRows(self.model, tokens[drawn].to(device), targets[drawn].to(device), self.row_losses, self.table)

    def how_to_run(self) -> dict[str, Any]:
        return {"model": describe(self.model)}


@dataclass(frozen=True)
class ClassificationSettings(ObjectiveSettings):
    """precision: of the loss, "float32" or "float64"; float32 rounds losses below 1e-7 to zero, with their gradient.

    routing, routing_weight: a regulariser, a name of `rrm.training.computation.ROUTING` or "none", and its weight.
    price, cost: what open gates cost, nats for a cost of 1, and a name of `rrm.training.computation.COSTS`.
    smoothness: nats for logits without low frequencies, as `rrm.models.smoothness` has them with the radius
    `smooth_radius`, at every `smooth_every`-th step. Such a step makes a pass of all pairs more, which the budget of
    call units does not count.
    """

    precision: str = "float32"
    routing: str = "none"
    routing_weight: float = 0.01
    price: float = 0.0
    cost: str = "sum"
    smoothness: float = 0.0
    smooth_radius: float = RADIUS
    smooth_every: int = 1

    def __post_init__(self) -> None:
        chosen(PRECISIONS, "precision of a loss", self.precision)
        chosen(COSTS, "cost of gates", self.cost)
        chosen({"none": None, **ROUTING}, "routing regulariser", self.routing)
        for name in ("routing_weight", "price", "smoothness"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise InputError(f"{name} is {getattr(self, name):g}: use 0 or more")
        if not 0 < self.smooth_radius < 1:
            raise InputError(f"smooth_radius is {self.smooth_radius:g}: use a share of p between 0 and 1")
        if type(self.smooth_every) is not int or self.smooth_every < 1:
            raise InputError(f"smooth_every is {self.smooth_every!r}: use a number of steps from 1")

    def build(self, context: Context) -> Classification:
        model, table = context.model, context.table
        if not isinstance(model, TokenModel):
            raise InputError(
                f"objective 'classification' trains networks of tokens, not {type(model).__name__}: use the objective "
                "of the model's family"
            )
        if context.perturbation.trajectories > 1 or context.perturbation.sigma or context.perturbation.far:
            raise InputError("objective 'classification' has no state to perturb: leave the perturbation out")
        shape = {"vocab_size": table.vocab_size, "classes": table.classes, "seq_len": table.seq_len}
        for name, value in shape.items():
            if getattr(model.config, name) != value:
                raise InputError(f"{name} of the model is {getattr(model.config, name)}: {table.name} needs {value}")
        with torch.no_grad():
            answer = model.respond(model.embed(torch.from_numpy(table.tokens[:1]).to(next(model.parameters()).device)))
        if self.routing != "none" and not answer.routing:
            raise InputError(f"routing {self.routing!r} needs a routed network, {type(model).__name__} has no routers")
        if self.price and answer.gates is None:
            raise InputError(f"price {self.price:g} needs a gated network, {type(model).__name__} has no gates")
        return Classification(model, context.loss, table, self)

    def units(self, model: nn.Module, description: Mapping[str, Any], step: int, total_steps: int) -> float:
        return 3.0
