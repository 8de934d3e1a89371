"""A run is called what its sweep called it: in every study of it, whatever was changed in its training."""

from argparse import Namespace

import pytest
import torch

from rrm.cluster.phase import Description
from rrm.jobs.record import TrialRecord
from rrm.models import build, describe, variant
from rrm.studies.sources import find_model
from rrm.tracking import Tracker, default_uri
from rrm.training.checkpoint import save_tensors, write_meta
from tests.jobs.test_specs import SWEEPS
from tests.sweeps import recipes_of


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A function: log a trial with a checkpoint, with these parameters and tags; -> its Source as a study finds it."""
    folder = tmp_path_factory.mktemp("store")
    checkpoint = folder / "checkpoint"
    checkpoint.mkdir()
    torch.manual_seed(0)
    model = build(variant("trm_mlp", vocab_size=6, seq_len=16, hidden_size=16, H_cycles=1, L_cycles=1)).eval()
    save_tensors(model.state_dict(), checkpoint / "best.safetensors")
    write_meta(checkpoint, dict.fromkeys(("best", "final"), {"model": describe(model), "segments": 4, "step": 1}))

    def log(name, parameters, tags):
        tracker = Tracker(default_uri(folder), "experiment", "sweep", folder / "artifacts")
        run = tracker.run("trial", name, parameters, tags)
        tracker.artifact(run, checkpoint, "checkpoint")
        tracker.finish(run, "FINISHED")
        return find_model(Namespace(run=run, weights="best"), folder / "downloads", tracker.uri)

    return log


def described(spec, config, folder):
    """Parameters and tags as a trial of a sweep has them, and what the sweep's own figures call it."""
    preset = spec.presets["smoke"]
    config = config | {"seed": 0, "trial": 0}
    recipes = recipes_of(spec, preset, folder)
    parameters, tags = Description(recipes, {})(config)
    return parameters, tags, TrialRecord("trial-000", config, recipes.of(config).arm).label


@pytest.mark.parametrize(
    ("sweep", "config", "name"),
    [
        *(("interventions", config, config["arm"]) for config in SWEEPS["interventions"].fixed(["trm_mlp"])),
        ("flossing_sweep", {"schedule": "none"}, "baseline"),
        ("flossing_sweep", {"schedule": "pre", "penalty": "leading", "target": 0.0, "k": 1, "late": True, "lr": 1e-3,
                            "failed_only": False}, "flossing pre, "),
        ("perturb_sweep", {"sigma": 0.0, "kind": "initial_state", "location": "both", "flossing": "none"}, "baseline"),
        ("perturb_sweep", {"sigma": 0.1, "kind": "every_call", "location": "z_L", "flossing": "none"},
         "every call σ = 0.1 on z_L"),
    ],
)  # fmt: skip
def test_a_study_calls_a_run_what_its_sweep_called_it(store, tmp_path, sweep, config, name):
    config = {"model": "trm_mlp"} | config
    parameters, tags, of_sweep = described(SWEEPS[sweep], config, tmp_path)
    found = store(f"{sweep}-{name}", parameters, tags)
    assert found.label == of_sweep and found.label.startswith(f"trm_mlp, {name}")
    assert found.provenance["trial"] == f"{sweep}-{name}"


def test_a_run_without_an_arm_claims_none(store):
    """As an older rrm logged them: no perturbation is named where none is known."""
    assert store("trial-003", {"model": "hrm"}, {"rrm.model": "hrm"}).label == "hrm, trial-003"
    assert store("trial-004", {"model": "hrm", "sigma": 0.0}, {}).label == "hrm, trial-004"
    assert store("trial-005", {}, {}).label == "trial-005"
