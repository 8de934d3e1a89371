"""The networks of a training by the id of its run, and what their routers choose along the way."""

import json

import numpy as np
import pytest
import torch

from rrm.errors import InputError
from rrm.models.pairs import pair_routing
from rrm.reports.grokking import report
from rrm.statistics.training_runs import TrainingRuns
from rrm.studies.grokking import routing, structure
from rrm.studies.networks import Networks, find_networks
from rrm.training.assemble import assemble
from rrm.training.grokking import grokking


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """A job folder with a trial of a routed network."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("runs") / "small"
    network = {"hidden_size": 8, "mlp_size": 16, "num_ffn_heads": 4, "num_layers": 2, "num_heads": 2}
    trainer = assemble(grokking("routed_transformer", p=7, operations=["subtract", "divide"], train_share=0.6, steps=20,
                                network=network, hooks={"snapshots": {"every": 5}}, lr=0.03))  # fmt: skip
    [*trainer.run()]
    place = folder / "checkpoints" / "trial-0"
    place.mkdir(parents=True)
    trainer.save(place, "none")
    (folder / "recipes").mkdir()
    for name in ("trial-0", "trial-1"):
        (folder / "recipes" / f"{name}.json").write_text("{}")
    trial = {"name": "trial-0", "checkpoint": "checkpoints/trial-0"}
    (folder / "trials.json").write_text(json.dumps({"grid": [trial]}))
    (folder / "sweep.json").write_text(json.dumps({"kind": "grokking", "arguments": {}}))
    return folder


def test_networks_are_listed_by_step_and_loaded_by_name(job):
    found = find_networks("small/trial-0", job.parent)
    assert found.steps == {"initial": 0, "5": 5, "10": 10, "15": 15, "final": 20, "20": 20} | {
        "best": found.steps["best"]
    }
    assert [*found.steps.values()] == sorted(found.steps.values()) and found.nearest(6) in ("5", "best")
    first, last = (found.load(name).state_dict() for name in ("5", "20"))
    assert any(not torch.equal(value, last[name]) for name, value in first.items())
    assert all(torch.equal(value, found.load("final").state_dict()[name]) for name, value in last.items())
    assert {name for name, _ in structure(found, "net", "10")} == {"net, subtract", "net, divide"}
    with pytest.raises(InputError, match="has no weights '6': use one of initial, 5, "):
        found.load("6")
    with pytest.raises(InputError, match="run small/trial-1 has no checkpoint"):
        find_networks("small/trial-1", job.parent)


def test_routing_is_that_of_the_forward_pass_at_each_step(job):
    found = Networks(job / "checkpoints" / "trial-0")
    start, end = found.routing("initial", 1), found.routing("final", 1)
    assert start.step == 0 and end.step == 20
    assert list(end.weights) == ["layer_0_attention", "layer_0_mlp", "layer_1_attention", "layer_1_mlp"]
    for name, weights in end.weights.items():
        assert weights.shape == (7, 7, 2 if "attention" in name else 4) and np.allclose(weights.sum(-1), 1)
        assert start.use(name) == pytest.approx(1 / weights.shape[-1])  # routers begin equal
    assert (end.answers[:, 0] == -1).all() and end.answers[6, 3] == 2
    model = found.token_model("final")
    of_pair = model.respond(model.embed(torch.tensor([[6, 8, 3, 9]]))).routing["layer_1_mlp"][0, -1]
    assert end.weights["layer_1_mlp"][6, 3] == pytest.approx(of_pair.detach().double().numpy(), rel=1e-5)
    assert pair_routing(model, 7)["layer_1_mlp"].shape == (7, 7, 4)


def test_the_report_shows_routing_along_the_training(job):
    along = dict(routing(Networks(job / "checkpoints" / "trial-0"), "net"))
    assert list(along) == ["net, subtract", "net, divide"]
    steps = [found.step for found in along["net, divide"]]
    assert steps == sorted(set(steps)) and steps[0] == 0 and steps[-1] == 20
    said = report(TrainingRuns([]), {}, along)
    assert {"grokking_routing_0", "grokking_routing_steps_1"} <= said.figures.keys()
    assert "use of heads in net, divide, %" in said.tables
