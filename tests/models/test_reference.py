"""Agreement with the public implementations of the models, from the numbers they wrote."""

import numpy as np
import pytest
import torch

from rrm.dynamics import lyapunov_spectrum, rollout
from rrm.errors import InputError
from rrm.models import State, build_official, load_official
from rrm.training.objective import DeepSupervision
from rrm.training.perturbation import TrajectoryPerturbation

OFFICIAL = ("trm_mlp", "trm_att")


def relative(ours, theirs) -> float:
    """Largest difference over the largest entry."""
    return float(np.abs(np.asarray(ours) - theirs).max() / np.abs(theirs).max())


@pytest.mark.parametrize(("name", "tolerance"), [("trm_mlp", 5e-5), ("trm_att", 1e-5)])
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


@pytest.mark.parametrize("name", OFFICIAL)
def test_loss_and_gradients_of_a_training_step(reference, name):
    ref = reference(name)
    model = load_official(ref["state"], ref["config"]).train()
    objective = DeepSupervision(model, TrajectoryPerturbation(), halt_exploration_prob=0.0)
    batch = {key: torch.from_numpy(value.astype(np.int64)) for key, value in ref["batch"].items()}
    batch["labels"][batch["labels"] == 0] = -100
    loss, _, metrics = objective(objective.initial_carry(batch), batch, torch.Generator())
    rows = len(batch["inputs"])
    assert loss.item() * rows == pytest.approx(float(ref["train/loss"]), rel=1e-5)
    assert float(metrics["lm_loss"]) == pytest.approx(float(ref["train/metric/lm_loss"]), rel=1e-5)
    assert float(metrics["q_halt_loss"]) == pytest.approx(float(ref["train/metric/q_halt_loss"]), rel=1e-5)
    (loss * rows).backward()
    for key, parameter in model.named_parameters():
        assert relative(parameter.grad, ref[f"train/grad/inner.{key}"]) < 1e-4, key
    assert relative(model.puzzle_emb.rows.grad, ref["train/grad/puzzle_emb_rows"]) < 1e-4


@pytest.mark.parametrize("name", OFFICIAL)
def test_finite_time_lyapunov_exponents(reference, name):
    ref = reference(name)
    model = load_official(ref["state"], ref["config"])
    spectrum = lyapunov_spectrum(model, ref["batch"], k=8, segments=2, Q0=torch.from_numpy(ref["ftle/Q0"]))
    assert spectrum.log_R.shape == ref["ftle/log_R"].shape
    assert np.abs(spectrum.lambda_per_call.numpy() - ref["ftle/lambda_per_call"]).max() < 1e-4
    calls = len(model.segment_calls)
    assert np.abs(spectrum.lambda_per_segment.numpy() - ref["ftle/lambda_per_segment"]).max() < 1e-4 * calls
    assert np.abs(spectrum.log_R.numpy() - ref["ftle/log_R"]).max() < 1e-3


def test_official_keys_with_wrappers_and_errors(reference):
    ref = reference("trm_att")
    wrapped = {f"_orig_mod.model.{key}": value for key, value in ref["state"].items()}
    model = load_official(wrapped, ref["config"])
    assert torch.equal(model.H_init, torch.from_numpy(ref["state"]["inner.H_init"]))
    with pytest.raises(InputError, match="lm_head.weight.*missing"):
        load_official({k: v for k, v in wrapped.items() if "lm_head" not in k}, ref["config"])
    with pytest.raises(InputError, match="unknown key 'extra'"):
        load_official(wrapped | {"extra": np.zeros(2)}, ref["config"])
    with pytest.raises(InputError, match=r"'embed_tokens.embedding_weight' have shape \(6, 64\).*\(7, 64\)"):
        load_official(wrapped, ref["config"] | {"vocab_size": 7})
    with pytest.raises(InputError, match="'pos_encoding' is unknown"):
        build_official(ref["config"] | {"pos_encoding": "rope"})


def test_bfloat16_state_is_measured_in_float32(reference):
    ref = reference("trm_att")
    model = load_official(ref["state"], ref["config"] | {"forward_dtype": "bfloat16"})
    assert model.initial_state(1).z_H.dtype == torch.bfloat16
    spectrum = lyapunov_spectrum(model, ref["batch"], k=2, segments=1)
    assert spectrum.z_H.dtype == torch.float32 and model.forward_dtype == torch.bfloat16
