"""Agreement with the public implementations of the models, from the numbers they wrote."""

import pytest
import torch

from rrm.dynamics import NetworkMap, lyapunov_spectrum
from rrm.models import load_official
from tests.models.agreement import MODELS, comparisons


@pytest.mark.parametrize("size", ["small", "large"])
@pytest.mark.parametrize("name", MODELS)
def test_numbers_of_the_public_implementation(reference, name, size):
    ref = reference(name, size)
    for subject, compare in comparisons(name, ref).items():
        found = list(compare(name, ref))
        assert found and not [one for one in found if not one.error < one.bound], subject


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
