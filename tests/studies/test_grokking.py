"""The study of runs that grok, on a small training of its own."""

import json

import numpy as np
import pytest

from rrm.commands.grokking import parse, run_grokking_command
from rrm.curves import CurveFile, curve_path
from rrm.errors import InputError
from rrm.models.pairs import number_vectors, pair_logits, pair_tokens
from rrm.statistics.routing import load_routing
from rrm.statistics.spectra import load_spectra
from rrm.studies.grokking import load_runs, structure
from rrm.studies.networks import Networks
from rrm.tasks.modular import ModularArithmetic
from rrm.training import checkpoint
from rrm.training.assemble import assemble
from rrm.training.grokking import grokking


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """A job folder with two trials of a few steps and their checkpoints."""
    folder = tmp_path_factory.mktemp("runs") / "small"
    trials = []
    for seed, operations in enumerate([["add"], ["subtract", "divide"]]):
        name = f"trial-{seed}"
        recipe = grokking(p=7, operations=operations, train_share=0.6, steps=20, seed=seed, journal={"every": 5},
                          network={"mlp_size": 8, "hidden_size": 8})  # fmt: skip
        curve = CurveFile(curve_path(folder, name))
        trainer = assemble(recipe, curve=curve)
        list(trainer.run())
        place = folder / "checkpoints" / name
        place.mkdir(parents=True)
        trainer.save(place, "none")
        curve.close()
        (folder / "recipes").mkdir(exist_ok=True)
        arm = {"arm": " and ".join(operations), "baseline": False, "settings": {}}
        trial = {"config": {"model": "token_mlp", "seed": seed}, "arm": arm, "recipe": {}}
        (folder / "recipes" / f"{name}.json").write_text(json.dumps(trial))
        trials.append({"name": name, "checkpoint": f"checkpoints/{name}"})
    (folder / "trials.json").write_text(json.dumps({"grid": trials}))
    (folder / "sweep.json").write_text(json.dumps({"kind": "grokking", "arguments": {}}))
    return folder


def test_runs_come_from_a_folder_one_by_one_or_as_a_whole(job):
    runs = load_runs(["small"], job.parent)
    assert [(run.name, run.model, run.arm, run.seed) for run in runs] == [
        ("trial-0", "token_mlp", "add", 0), ("trial-1", "token_mlp", "subtract and divide", 1)
    ]  # fmt: skip
    steps, accuracy = runs[0].curves["train/accuracy"]
    # The trainer and the journal both write a row at the last step: one of them counts.
    assert (np.diff(steps) > 0).all() and len(steps) == len(accuracy) and runs[0].events.last == 20
    assert len(load_runs(["small/trial-1"], job.parent)) == 1
    with pytest.raises(InputError, match="run small/trial-9 is not in"):
        load_runs(["small/trial-9"], job.parent)


def test_the_answers_to_all_pairs(job):
    folder = job / "checkpoints" / "trial-1"
    model = checkpoint.load_model(folder, "final")
    table = ModularArithmetic(7, ("subtract", "divide"), 0.6)
    tokens = pair_tokens(7, 1, table.vocab_size)
    known = {tuple(row) for row in table.tokens.tolist()}
    # Every row of the table, and the pairs without an answer.
    assert sum(tuple(row) in known for row in tokens.tolist()) == 42 and len(tokens) == 49
    logits = pair_logits(model, 7, 1)
    assert logits.shape == (7, 7, 7) and number_vectors(model, 7).shape == (7, 8)
    assert logits[3, 5] == pytest.approx(model(tokens[3 * 7 + 5][None])[0].detach().double().numpy(), rel=1e-5)


def test_structure_of_each_operation_in_its_own_group(job):
    found = dict(structure(Networks(job / "checkpoints" / "trial-1"), "net"))
    assert {name: len(of.frequency) for name, of in found.items()} == {"net, subtract": 3, "net, divide": 3}
    assert found["net, divide"].logit_power.shape == (6, 6) and found["net, subtract"].logit_power.shape == (7, 7)
    assert ("full", "test") in found["net, divide"].ablations


def test_the_command_publishes_tables_figures_and_numbers(job, capsys):
    arguments = ["--run", "small", "--storage", str(job.parent), "--name", "study", "--threshold", "0.3"]
    run_grokking_command("", arguments)
    said = capsys.readouterr().out
    assert (
        "steps until runs grok" in said
        and "Fourier structure of token_mlp, subtract and divide, seed 1, divide" in said
    )
    assert "refused" not in said
    folder = job.parent / "study"
    assert {"grokking_training.png", "grokking_survival.png", "grokking_fourier_0.png"} <= {
        file.name for file in (folder / "figures").iterdir()
    }
    header = (folder / "statistics.csv").read_text().splitlines()[0]
    assert header == "run,arm,seed,phase,series,mean,std,least,most,final,n"
    found = load_spectra(folder / "spectra.npz")
    assert [(of.operation, of.run) for of in found] == [
        ("add", "small/trial-0"), ("subtract", "small/trial-1"), ("divide", "small/trial-1")
    ]  # fmt: skip
    assert found[0].step[0] == 0 and found[0].name[-1] == "final" and load_routing(folder / "routing.npz") == []
    run_grokking_command("", arguments)  # the same runs again


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to read: give --run RUN_ID or --checkpoint DIR"),
        (["--run", ""], "--run is empty"),
        (["--run", "a", "--threshold", "0"], "--threshold 0 is no share"),
        (["--run", "a", "--weights", "worst"], "--weights 'worst' are unknown"),
        (["--checkpoint", "nowhere"], "--checkpoint .*nowhere does not exist"),
    ],
)
def test_bad_options_are_named(arguments, message):
    with pytest.raises(InputError, match=message):
        parse("", arguments)
