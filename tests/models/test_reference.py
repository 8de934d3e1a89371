"""Agreement with the public implementations of the models, from the numbers they wrote."""

import numpy as np
import pytest
import torch

from rrm.dynamics import lyapunov_spectrum, rollout
from rrm.models import State, load_official
from rrm.training.deep_supervision import DeepSupervision
from rrm.training.objective import IGNORED, stablemax_cross_entropy
from rrm.training.perturbation import TrajectoryPerturbation

SUPERVISED = ("trm_mlp", "trm_att", "hrm")


def relative(ours, theirs) -> float:
    """Largest difference over the largest entry."""
    return float(np.abs(np.asarray(ours) - theirs).max() / np.abs(theirs).max())


def train_batch(ref) -> dict:
    """The batch as integers, unlabelled cells at the ignored value."""
    batch = {key: torch.from_numpy(value.astype(np.int64)) for key, value in ref["batch"].items()}
    batch["labels"][batch["labels"] == 0] = IGNORED
    return batch


@pytest.mark.parametrize(("name", "tolerance"), [("trm_mlp", 5e-5), ("trm_att", 1e-5), ("hrm", 1e-5)])
def test_states_logits_and_q_of_three_segments(reference, name, tolerance):
    """Each segment from the reference's state before it.

    The random mixer is chaotic: 21 calls stretch float32 rounding 30-fold, and our float64 run is as far from the
    reference (1.1e-4 absolute after one segment) as our float32 run. Three segments would compare rounding only.
    """
    ref = reference(name)
    model = load_official(ref["state"], ref["config"])
    start = None
    for segment in (1, 2, 3):
        ours = rollout(model, ref["batch"], 1, start)
        for field in ("z_H", "z_L", "logits", "q_halt", "q_continue"):
            assert relative(getattr(ours, field)[0], ref[f"seg{segment}/{field}"]) < tolerance, (segment, field)
        start = State(*(torch.from_numpy(ref[f"seg{segment}/{half}"]) for half in State._fields))


@pytest.mark.parametrize("name", SUPERVISED)
def test_loss_and_gradients_of_a_training_step(reference, name):
    ref = reference(name)
    model = load_official(ref["state"], ref["config"]).train()
    objective = DeepSupervision(model, TrajectoryPerturbation(), halt_exploration_prob=0.0)
    batch = train_batch(ref)
    loss, _, metrics = objective(objective.initial_carry(batch), batch, torch.Generator())
    rows = len(batch["inputs"])
    assert loss.item() * rows == pytest.approx(float(ref["train/loss"]), rel=1e-5)
    assert float(metrics["lm_loss"]) == pytest.approx(float(ref["train/metric/lm_loss"]), rel=1e-5)
    q_losses = [float(ref[key]) for key in ("train/metric/q_halt_loss", "train/metric/q_continue_loss") if key in ref]
    assert float(metrics["q_loss"]) == pytest.approx(sum(q_losses), rel=1e-5)
    (loss * rows).backward()
    for key, parameter in model.named_parameters():
        assert relative(parameter.grad, ref[f"train/grad/inner.{key}"]) < 1e-4, key
    assert relative(model.puzzle_emb.pending[-1][1].grad, ref["train/grad/puzzle_emb_rows"]) < 1e-4


@pytest.mark.parametrize("name", SUPERVISED)
def test_finite_time_lyapunov_exponents(reference, name):
    ref = reference(name)
    model = load_official(ref["state"], ref["config"])
    spectrum = lyapunov_spectrum(model, ref["batch"], k=8, segments=2, Q0=torch.from_numpy(ref["ftle/Q0"]))
    assert spectrum.log_R.shape == ref["ftle/log_R"].shape
    assert np.abs(spectrum.lambda_per_call.numpy() - ref["ftle/lambda_per_call"]).max() < 1e-4
    calls = len(model.segment_calls)
    assert np.abs(spectrum.lambda_per_segment.numpy() - ref["ftle/lambda_per_segment"]).max() < 1e-4 * calls
    assert np.abs(spectrum.log_R.numpy() - ref["ftle/log_R"]).max() < 1e-3


@pytest.mark.parametrize(("depth", "tolerance"), [(1, 1e-5), (3, 1e-5), (8, 5e-4)])
def test_srm_logits_at_a_depth(reference, depth, tolerance):
    """24 calls of the random mixer stretch rounding 100-fold: our float64 run is 2.2e-4 off, our float32 run 2.6e-4."""
    ref = reference("srm_mlp")
    model = load_official(ref["state"], ref["config"])
    ours = rollout(model, ref["batch"], depth)
    assert relative(ours.logits[-1], ref[f"H{depth}/logits"]) < tolerance
    assert ours.q_halt is None and ours.q_continue is None


@pytest.mark.parametrize(("kind", "transition"), [("train", False), ("train_with_transition", True)])
def test_srm_loss_and_gradients_of_a_training_step(reference, kind, transition):
    """The forward written out: a detached history, then the last cycle; the z_H call before it with gradient or not."""
    ref = reference("srm_mlp")
    model = load_official(ref["state"], ref["config"]).train()
    batch = train_batch(ref)
    x, state = model.embed(batch["inputs"], batch["puzzle_identifiers"]), model.initial_state(4)
    history = model.segment_calls * (model.config.H_cycles - 1)
    for number, half in enumerate(history, 1):
        with torch.set_grad_enabled(transition and number == len(history)):
            state = model.step(half, state, x)
    losses = stablemax_cross_entropy(model.readout(model.segment(state, x)).logits, batch["labels"])
    loss = (losses.sum(1) / (batch["labels"] != IGNORED).sum(1)).sum()
    assert loss.item() == pytest.approx(float(ref[f"{kind}/loss"]), rel=1e-5)
    loss.backward()
    for key, parameter in model.named_parameters():
        assert relative(parameter.grad, ref[f"{kind}/grad/{key}"]) < 1e-4, key
    # The file sums this gradient over its two training steps, which agree on it: x feeds the last cycle's calls only.
    assert relative(2 * model.puzzle_emb.pending[-1][1].grad, ref["train/grad/puzzle_emb_rows"]) < 1e-4


def test_bfloat16_state_is_measured_in_float32(reference):
    ref = reference("trm_att")
    model = load_official(ref["state"], ref["config"] | {"forward_dtype": "bfloat16"})
    assert model.initial_state(1).z_H.dtype == torch.bfloat16
    spectrum = lyapunov_spectrum(model, ref["batch"], k=2, segments=1)
    assert spectrum.z_H.dtype == torch.float32 and model.forward_dtype == torch.bfloat16
