"""A recipe is everything that decides a training run besides the data."""

from bisect import bisect_right
from dataclasses import asdict, dataclass, field

from rrm.errors import InputError
from rrm.models import RecursiveModel
from rrm.training.flossing import flossing
from rrm.training.last_step import LEAST_DEPTH
from rrm.training.perturbation import MODEL_SETTINGS
from rrm.training.schedule import Growth


@dataclass(frozen=True)
class Recipe:
    """Settings of one training run. Plain values, so that a recipe is JSON.

    The budget is counted in *call units*, the currency in which arms of different cost are equal: one forward network
    call on one row is 1 unit, its backward 2. TRM at H 3, L 6 costs 21 + 2 x 7 = 35 units per row and step, and m
    perturbed rollouts multiply that by 1 + m, so a perturbed run takes fewer steps for the same budget.

    `perturbation` = {"kind": a name of `rrm.training.perturbation.PERTURBATIONS`, and its settings}. A kind that is a
    property of the model ("eqr") sets the settings of the model.

    `flossing` is the name of a preset of `rrm.training.flossing`, or {"preset": name, and the settings to change}. Its
    episodes are paid from the budget too.

    `growth` = {"H": [[percent, increment], ...], "L": [...]}, `moment_reset_scale` (factor on the optimizer's moments
    at a growth step), `transition_warmup_steps` and `prob_detach_prev_H` concern models trained on whole rollouts.

    `micro_batches` > 1 goes through a step's batch in so many parts whose gradients add up: the same training in less
    memory. W workers with M parts each draw the noise of W x M workers. `compiled` fuses the networks' pointwise work
    with torch.compile: seconds to minutes at the start, and other rounding.
    """

    model: dict
    budget: float
    batch_size: int = 768
    lr: float = 1e-4
    weight_decay: float = 1.0
    betas: tuple[float, float] = (0.9, 0.95)
    warmup_steps: int = 2000
    ema_decay: float = 0.999
    halt_max_steps: int = 16
    halt_exploration_prob: float = 0.1
    puzzle_lr: float = 1e-4
    puzzle_weight_decay: float = 1.0
    perturbation: dict = field(default_factory=lambda: {"kind": "initial_state", "sigma": 0.0, "copies": 1})
    flossing: str | dict = "none"
    lr_min_ratio: float = 1.0
    clip_norm: float | None = None
    growth: dict = field(default_factory=dict)
    moment_reset_scale: float = 1.0
    transition_warmup_steps: int = 0
    prob_detach_prev_H: float = 0.5
    micro_batches: int = 1
    compiled: bool = False
    evaluations: int = 10
    seed: int = 0

    def __post_init__(self):
        for name in ("budget", "batch_size", "lr", "evaluations", "halt_max_steps", "micro_batches"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} is {getattr(self, name)}: it must be positive")
        self.share(1)
        needed = MODEL_SETTINGS.get(self.perturbation["kind"], {})
        object.__setattr__(self, "model", self.model | needed)

    def share(self, workers: int) -> int:
        """How many puzzles of a batch each of so many workers has; InputError if they are no equal micro-batches."""
        if self.batch_size % (workers * self.micro_batches):
            raise InputError(
                f"batch size {self.batch_size} does not divide into {self.micro_batches} micro-batches on each of "
                f"{workers} workers: their product has to be a divisor of it"
            )
        return self.batch_size // workers

    def growth_schedule(self) -> Growth:
        """Depth over training, from the cycles of the model's description."""
        milestones = {name: tuple((at, by) for at, by in self.growth.get(name, ())) for name in ("H", "L")}
        return Growth(self.model["H_cycles"], self.model["L_cycles"], **milestones)

    def call_units(self, model: RecursiveModel, depth: tuple[int, int]) -> float:
        """Cost of one training step per row at `depth` = (H_cycles, L_cycles): forward calls + 2 x recorded calls.

        Of the single call whose gradient is kept in some of the steps only, the expectation.
        """
        H, L = depth
        if not model.carries_state:
            return max(LEAST_DEPTH, H) * (L + 1) + 2 * (L + 1) + 2 * (1 - self.prob_detach_prev_H)
        calls = len(model.segment_calls)
        # Q-learning looks one segment ahead for its target, if there may be one.
        ahead = calls if model.q_learning and self.halt_max_steps > 1 else 0
        return calls + 2 * model.grad_calls + ahead

    def units_per_step(self, model: RecursiveModel, trajectories: int) -> float:
        """Call units of an optimizer step, on average over training where the depth grows."""
        growth = self.growth_schedule()
        mean = sum(self.call_units(model, growth.depth(permille, 1000)) for permille in range(1000)) / 1000
        return mean * self.batch_size * trajectories

    def flossing_units(self, model: RecursiveModel, total_steps: int) -> int:
        """Call units of the flossing episodes in a training of `total_steps`."""
        settings = flossing(self.flossing)
        growth, units = self.growth_schedule(), 0
        for step in settings.episodes_at(total_steps) if settings else ():
            H, L = growth.depth(step + 1, total_steps)
            rollout = (self.halt_max_steps, len(model.segment_calls)) if model.carries_state else (H, L + 1)
            units += settings.steps * settings.units(*rollout)
        return units

    def steps(self, model: RecursiveModel, trajectories: int) -> int:
        """Optimizer steps that the budget pays for, after what flossing takes."""
        per_step = self.units_per_step(model, trajectories)
        steps = int(self.budget // per_step)
        if flossing(self.flossing):
            # More steps can bring more episodes, so the price of a training is a function of its length.
            def price(steps: int) -> float:
                return steps * per_step + self.flossing_units(model, steps)

            steps = bisect_right(range(1, steps + 1), self.budget, key=price)
        if steps < self.evaluations:
            needed = self.evaluations * per_step + self.flossing_units(model, self.evaluations)
            raise InputError(
                f"budget {self.budget:g} pays for {steps} steps of {per_step:g} call units, fewer than the "
                f"{self.evaluations} evaluations: raise the budget to {needed:g} or more"
            )
        return steps

    def to_dict(self) -> dict:
        """Plain values; `Recipe(**d)` restores it."""
        return asdict(self)
