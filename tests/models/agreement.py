"""How far our models are from the numbers that the public implementations wrote, on any device, and the bound of each.

The numbers are of the unmodified public code in float32 on a CPU, with random weights; the exponents by forward mode
through that code and QR in float64 after every call.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from rrm.dynamics import lyapunov_spectrum, rollout
from rrm.models import State, load_official
from rrm.training.deep_supervision import DeepSupervision, DeepSupervisionSettings
from rrm.training.last_step import LastStepSettings, LastStepSupervision
from rrm.training.losses import IGNORED
from rrm.training.perturbation import TrajectoryPerturbation

ROOT = Path(__file__).resolve().parents[2]
# Numbers of small networks in the repository, of larger ones where they lie beside it.
REFERENCES = {"small": ROOT / "tests" / "models" / "reference", "large": ROOT.parent / "shared" / "reference"}
SUPERVISED = ("trm_mlp", "trm_att", "hrm")
MODELS = (*SUPERVISED, "srm_mlp")


class Difference(NamedTuple):
    """A number of ours against that of the public implementation: `error` has to be below `bound`."""

    of: str
    error: float
    bound: float


Reference = dict[str, Any]
Differences = Iterator[Difference]


def reference_file(name: str, size: str) -> Path:
    """Where the numbers of a model are, if they are there."""
    return REFERENCES[size] / f"{name}.npz"


def read_reference(path: Path) -> Reference:
    """{"config": dict, "state": {...}, "batch": {...}, other keys: arrays}."""
    with np.load(path) as file:
        values: Reference = {key: file[key] for key in file.files}
    values["config"] = json.loads(bytes(values["config"]).decode())
    values["state"] = {key.removeprefix("state/"): v for key, v in values.items() if key.startswith("state/")}
    values["batch"] = {key: values[key] for key in ("inputs", "labels", "puzzle_identifiers")}
    return values


def relative(ours: Any, theirs: np.ndarray) -> float:
    """Largest difference over the largest entry."""
    return largest(ours, theirs) / float(np.abs(theirs).max())


def largest(ours: Any, theirs: np.ndarray) -> float:
    """Largest difference."""
    return float(np.abs(torch.as_tensor(ours).detach().cpu().numpy() - theirs).max())


def train_batch(ref: Reference, device: str = "cpu") -> dict[str, torch.Tensor]:
    """The batch as integers, unlabelled cells at the ignored value."""
    batch = {key: torch.from_numpy(value.astype(np.int64)) for key, value in ref["batch"].items()}
    batch["labels"][batch["labels"] == 0] = IGNORED
    return {key: value.to(device) for key, value in (batch | {"rows": torch.arange(len(batch["labels"]))}).items()}


def segments(name: str, ref: Reference, device: str = "cpu") -> Differences:
    """States, logits and halting scores of three segments, each from the reference's state before the segment.

    The random mixer is chaotic: 21 calls stretch float32 rounding 30-fold, and our float64 run is as far from the
    reference (1.1e-4 absolute after one segment) as our float32 run. Three segments would compare rounding only.
    """
    model = load_official(ref["state"], ref["config"]).to(device)
    start = None
    for segment in (1, 2, 3):
        ours = rollout(model, ref["batch"], 1, start)
        for field in ("z_H", "z_L", "logits", "q_halt", "q_continue"):
            key = f"seg{segment}/{field}"
            yield Difference(key, relative(getattr(ours, field)[0], ref[key]), 5e-5 if name == "trm_mlp" else 1e-5)
        start = State(*(torch.from_numpy(ref[f"seg{segment}/{half}"]).to(device) for half in State._fields))


def training_step(name: str, ref: Reference, device: str = "cpu") -> Differences:
    """Loss and gradients of the first step of deep supervision."""
    model = load_official(ref["state"], ref["config"]).to(device).train()
    objective = DeepSupervision(model, TrajectoryPerturbation(), DeepSupervisionSettings(halt_exploration_prob=0.0))
    batch = train_batch(ref, device)
    loss, _, outcome = objective(objective.initial_carry(batch), batch, torch.Generator())
    rows = len(batch["inputs"])
    q_losses = [ref[key] for key in ("train/metric/q_halt_loss", "train/metric/q_continue_loss") if key in ref]
    yield Difference("train/loss", relative(loss * rows, ref["train/loss"]), 1e-5)
    yield Difference("train/lm_loss", relative(outcome.sums["lm_loss"], ref["train/metric/lm_loss"]), 1e-5)
    yield Difference("train/q_loss", relative(outcome.sums["q_loss"], np.sum(q_losses)), 1e-5)
    (loss * rows).backward()
    yield from _gradients(model, ref, "train/grad/inner.", 1)


def exponents(name: str, ref: Reference, device: str = "cpu") -> Differences:
    """Finite-time exponents, local ones and the last state, from the reference's start basis."""
    model = load_official(ref["state"], ref["config"]).to(device)
    Q0, log_R, calls = torch.from_numpy(ref["ftle/Q0"]), ref["ftle/log_R"], len(model.segment_calls)
    spectrum = lyapunov_spectrum(model, ref["batch"], Q0.shape[-1], segments=len(log_R) // calls, Q0=Q0)
    assert spectrum.log_R.shape == log_R.shape and not spectrum.floored.any()
    per_call = ref["ftle/lambda_per_call"]
    yield Difference("lambda per call", largest(spectrum.lambda_per_call, per_call), 1e-4)
    yield Difference("lambda per segment", largest(spectrum.lambda_per_segment, calls * per_call), 1e-4 * calls)
    yield Difference("log R", largest(spectrum.log_R, log_R), 1e-3)
    if ref["config"]["hidden_size"] < 64:  # 42 calls of the larger mixer leave nothing of a state but its rounding
        for half in State._fields:
            yield Difference(half, relative(getattr(spectrum, half), ref[f"ftle/{half}"]), 1e-4)


def srm_depths(name: str, ref: Reference, device: str = "cpu") -> Differences:
    """Logits at every depth that the reference has.

    24 calls of the random mixer stretch rounding 100-fold: our float64 run is 2.2e-4 off, our float32 run 2.6e-4.
    """
    model = load_official(ref["state"], ref["config"]).to(device)
    for depth in (1, 3, 8):
        if (key := f"H{depth}/logits") in ref:
            ours = rollout(model, ref["batch"], depth)
            assert ours.q_halt is None and ours.q_continue is None
            yield Difference(key, relative(ours.logits[-1], ref[key]), 5e-4 if depth == 8 else 1e-5)


def srm_training_steps(name: str, ref: Reference, device: str = "cpu") -> Differences:
    """Loss and gradients of a training step without and with gradient through the call before the last cycle."""
    for kind, transition in (("train", False), ("train_with_transition", True)):
        model = load_official(ref["state"], ref["config"]).to(device).train()
        batch = train_batch(ref, device)
        settings = LastStepSettings(prob_detach_prev_H=0.0 if transition else 1.0)
        objective = LastStepSupervision(model, TrajectoryPerturbation(), settings)
        loss, _, _ = objective(objective.initial_carry(batch), batch, torch.Generator())
        rows = len(batch["inputs"])
        yield Difference(f"{kind}/loss", relative(loss * rows, ref[f"{kind}/loss"]), 1e-5)
        (loss * rows).backward()
        # The gradient of the table is summed over both steps, which agree on it: x feeds the last cycle's calls only.
        yield from _gradients(model, ref, f"{kind}/grad/", 2)


def _gradients(model: Any, ref: Reference, prefix: str, steps: int) -> Differences:
    for key, parameter in model.named_parameters():
        yield Difference(f"{prefix}{key}", relative(parameter.grad, ref[f"{prefix}{key}"]), 1e-4)
    if (key := "train/grad/puzzle_emb_rows") in ref:
        yield Difference(key, relative(steps * model.puzzle_emb.pending[-1][1].grad, ref[key]), 1e-4)


def comparisons(name: str, ref: Reference) -> dict[str, Callable[..., Differences]]:
    """What a model is compared in, by subject: functions of (name, reference, device)."""
    if name in SUPERVISED:
        found = {"states": segments, "loss and gradients": training_step}
    else:
        found = {"logits by depth": srm_depths, "loss and gradients": srm_training_steps}
    return found | ({"exponents": exponents} if "ftle/log_R" in ref else {})
