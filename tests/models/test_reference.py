"""Agreement with the public implementations of the models, from the numbers they wrote."""

import numpy as np
import pytest
import torch

from rrm.dynamics import NetworkMap, lyapunov_spectrum, rollout
from rrm.models import State, load_official
from rrm.training.deep_supervision import DeepSupervision, DeepSupervisionSettings
from rrm.training.last_step import LastStepSettings, LastStepSupervision
from rrm.training.losses import IGNORED
from rrm.training.perturbation import TrajectoryPerturbation

SUPERVISED = ("trm_mlp", "trm_att", "hrm")
SIZES = pytest.mark.parametrize("size", ["small", "large"])


def relative(ours, theirs) -> float:
    """Largest difference over the largest entry."""
    return float(np.abs(np.asarray(ours) - theirs).max() / np.abs(theirs).max())


def train_batch(ref) -> dict:
    """The batch as integers, unlabelled cells at the ignored value."""
    batch = {key: torch.from_numpy(value.astype(np.int64)) for key, value in ref["batch"].items()}
    batch["labels"][batch["labels"] == 0] = IGNORED
    return batch | {"rows": torch.arange(len(batch["labels"]))}


@SIZES
@pytest.mark.parametrize(("name", "tolerance"), [("trm_mlp", 5e-5), ("trm_att", 1e-5), ("hrm", 1e-5)])
def test_states_logits_and_q_of_three_segments(reference, name, size, tolerance):
    """Each segment from the reference's state before it.

    The random mixer is chaotic: 21 calls stretch float32 rounding 30-fold, and our float64 run is as far from the
    reference (1.1e-4 absolute after one segment) as our float32 run. Three segments would compare rounding only.
    """
    ref = reference(name, size)
    model = load_official(ref["state"], ref["config"])
    start = None
    for segment in (1, 2, 3):
        ours = rollout(model, ref["batch"], 1, start)
        for field in ("z_H", "z_L", "logits", "q_halt", "q_continue"):
            assert relative(getattr(ours, field)[0], ref[f"seg{segment}/{field}"]) < tolerance, (segment, field)
        start = State(*(torch.from_numpy(ref[f"seg{segment}/{half}"]) for half in State._fields))


@SIZES
@pytest.mark.parametrize("name", SUPERVISED)
def test_loss_and_gradients_of_a_training_step(reference, name, size):
    ref = reference(name, size)
    model = load_official(ref["state"], ref["config"]).train()
    objective = DeepSupervision(model, TrajectoryPerturbation(), DeepSupervisionSettings(halt_exploration_prob=0.0))
    batch = train_batch(ref)
    loss, _, outcome = objective(objective.initial_carry(batch), batch, torch.Generator())
    rows = len(batch["inputs"])
    assert loss.item() * rows == pytest.approx(float(ref["train/loss"]), rel=1e-5)
    assert float(outcome.sums["lm_loss"]) == pytest.approx(float(ref["train/metric/lm_loss"]), rel=1e-5)
    q_losses = [float(ref[key]) for key in ("train/metric/q_halt_loss", "train/metric/q_continue_loss") if key in ref]
    assert float(outcome.sums["q_loss"]) == pytest.approx(sum(q_losses), rel=1e-5)
    (loss * rows).backward()
    for key, parameter in model.named_parameters():
        assert relative(parameter.grad, ref[f"train/grad/inner.{key}"]) < 1e-4, key
    if "train/grad/puzzle_emb_rows" in ref:
        assert relative(model.puzzle_emb.pending[-1][1].grad, ref["train/grad/puzzle_emb_rows"]) < 1e-4


@pytest.mark.parametrize(
    ("name", "size"),
    [*((name, size) for name in SUPERVISED for size in ("small", "large")), ("srm_mlp", "small")],
)
def test_finite_time_lyapunov_exponents(reference, name, size):
    ref = reference(name, size)
    model = load_official(ref["state"], ref["config"])
    Q0, log_R, calls = torch.from_numpy(ref["ftle/Q0"]), ref["ftle/log_R"], len(model.segment_calls)
    spectrum = lyapunov_spectrum(model, ref["batch"], Q0.shape[-1], segments=len(log_R) // calls, Q0=Q0)
    assert spectrum.log_R.shape == log_R.shape and not spectrum.floored.any()
    assert np.abs(spectrum.lambda_per_call.numpy() - ref["ftle/lambda_per_call"]).max() < 1e-4
    assert np.abs(spectrum.lambda_per_segment.numpy() - calls * ref["ftle/lambda_per_call"]).max() < 1e-4 * calls
    assert np.abs(spectrum.log_R.numpy() - log_R).max() < 1e-3
    if size == "small":  # 42 calls of the larger mixer leave nothing of a state but its rounding
        assert relative(spectrum.z_H, ref["ftle/z_H"]) < 1e-4 and relative(spectrum.z_L, ref["ftle/z_L"]) < 1e-4


@pytest.mark.parametrize(
    ("size", "depth", "tolerance"),
    [("small", 1, 1e-5), ("small", 3, 1e-5), ("large", 1, 1e-5), ("large", 3, 1e-5), ("large", 8, 5e-4)],
)
def test_srm_logits_at_a_depth(reference, size, depth, tolerance):
    """24 calls of the random mixer stretch rounding 100-fold: our float64 run is 2.2e-4 off, our float32 run 2.6e-4."""
    ref = reference("srm_mlp", size)
    model = load_official(ref["state"], ref["config"])
    ours = rollout(model, ref["batch"], depth)
    assert relative(ours.logits[-1], ref[f"H{depth}/logits"]) < tolerance
    assert ours.q_halt is None and ours.q_continue is None


@SIZES
@pytest.mark.parametrize(("kind", "transition"), [("train", False), ("train_with_transition", True)])
def test_srm_loss_and_gradients_of_a_training_step(reference, size, kind, transition):
    ref = reference("srm_mlp", size)
    model = load_official(ref["state"], ref["config"]).train()
    batch = train_batch(ref)
    settings = LastStepSettings(prob_detach_prev_H=0.0 if transition else 1.0)
    objective = LastStepSupervision(model, TrajectoryPerturbation(), settings)
    loss, _, _ = objective(objective.initial_carry(batch), batch, torch.Generator())
    rows = len(batch["inputs"])
    assert loss.item() * rows == pytest.approx(float(ref[f"{kind}/loss"]), rel=1e-5)
    (loss * rows).backward()
    for key, parameter in model.named_parameters():
        assert relative(parameter.grad, ref[f"{kind}/grad/{key}"]) < 1e-4, key
    if "train/grad/puzzle_emb_rows" in ref:
        # Summed over the two training steps, which agree on it: x feeds the last cycle's calls only.
        assert relative(2 * model.puzzle_emb.pending[-1][1].grad, ref["train/grad/puzzle_emb_rows"]) < 1e-4


def test_bfloat16_model_is_measured_in_float32_from_the_start_it_was_trained_from(reference):
    ref = reference("trm_att")
    model = load_official(ref["state"], ref["config"] | {"forward_dtype": "bfloat16"})
    assert model.initial_state(1).z_H.dtype == torch.bfloat16
    spectrum = lyapunov_spectrum(model, ref["batch"], k=2, segments=1)
    assert spectrum.z_H.dtype == torch.float32 and model.forward_dtype == torch.bfloat16
    # The public code draws the start in bfloat16 and keeps it as such.
    measured_from = (system := NetworkMap(model, ref["batch"])).state(system.start())
    for measured, trained in zip(measured_from, model.initial_state(3), strict=True):
        assert torch.equal(measured, trained.float())
