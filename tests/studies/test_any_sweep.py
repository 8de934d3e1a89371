"""Sweeps that are no perturbations: arms by name, grids over data, recipes that change while a sweep is interrupted."""

import json
import os
import re
import signal
from argparse import Namespace
from dataclasses import replace
from types import SimpleNamespace

import pytest

from rrm.cluster.callbacks import TrackingCallback
from rrm.commands.sweep import run_command
from rrm.curves import read_curves
from rrm.jobs.record import Arm, TrialRecord
from rrm.jobs.spec import GRID_STAGES, DataSpec, Preset, SweepSpec, grid, named_by
from rrm.studies import stages
from rrm.studies.sources import find_puzzles
from rrm.studies.stored import sweep_points
from rrm.studies.sweep_run import SweepRun
from rrm.toys.delayed_bits import TanhNetwork, binary_cross_entropy
from rrm.toys.flossing import ToyRecipe, ToySettings
from rrm.training.assemble import build_parts
from rrm.training.part import Context
from rrm.training.recipe import Recipe
from rrm.training.recipes import cpu_sudoku

TINY = Preset(0, seeds=2, steps=8, evaluations=2, task="sudoku-4x4", givens=(7, 9), train=64, validation=8, test=40)


def small(config, task, preset, seed, **changes):
    budget = 12 * 4 * preset.steps
    return cpu_sudoku(task, batch_size=4, budget=budget, evaluations=preset.evaluations, seed=seed, **changes)


def perceptron(config, task, preset, seed):
    model = {"family": "mlp", "vocab_size": task.vocab_size, "seq_len": task.seq_len, "hidden_size": 16}
    return Recipe(model, budget=3 * 4 * preset.steps, batch_size=4, optimizer={"kind": "adamw"}, loss="cross_entropy",
                  lr=config["lr"], evaluations=preset.evaluations, seed=seed)  # fmt: skip


def runs_of(storage, experiment):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{storage / 'mlflow.db'}")
    return {run.data.tags["rrm.name"]: run
            for run in client.search_runs([client.get_experiment_by_name(experiment).experiment_id])}  # fmt: skip


def test_the_best_of_a_grid_may_be_of_a_seed_that_is_not_measured(monkeypatch):
    first, other = (
        TrialRecord(f"trial-{seed}", {"model": "trm_mlp", "seed": seed}, Arm("plain", True, {}), checkpoint="c",
                    best={"exact": exact}, final={"exact": exact, "step": 1})
        for seed, exact in ((0, 0.4), (1, 0.5))
    )  # fmt: skip
    said = []
    monkeypatch.setattr(stages, "findings", lambda *args: said.append(args[-1].name) or [])
    scores = {trial.name: {"best": trial.best, "final": trial.best} for trial in (first, other)}
    run = SweepRun(*[None] * 11, searched=[first, other], scores=scores, results={first.name: None})
    run.spec = SimpleNamespace(matching="", score="exact")
    stages.say(run)
    assert run.best is other and said == [first.name]


def test_an_arm_that_is_no_perturbation_is_compared_by_its_name(cluster, tmp_path, capsys):
    spec = SweepSpec(
        name="orders",
        models=("trm_mlp",),
        fixed=lambda models: grid(model=models, arm=("uniform", "slow")),
        recipe=lambda config, *rest: small(config, *rest, lr=4e-3 if config["arm"] == "uniform" else 4e-5),
        matching="Arms see the same number of puzzles.",
        presets={"default": TINY},
        baseline="uniform",
    )
    run_command(spec, "", ["--storage", str(tmp_path)])
    said = capsys.readouterr().out
    assert "trm_mlp, slow:" in said and "trm_mlp, uniform:" in said and "Arms see the same number" in said
    points = sweep_points(f"sqlite:///{tmp_path / 'mlflow.db'}", runs_of(tmp_path, "orders")["orders"].info.run_id)
    assert {(point.arm, point.baseline) for point in points} == {("uniform", True), ("slow", False)}


def test_a_grid_over_two_data_sets(cluster, tmp_path, capsys):
    spec = SweepSpec(
        name="sizes",
        models=("mlp",),
        fixed=lambda models: grid(model=models, task=("sudoku-4x4", "sudoku-6x6"), lr=(1e-3, 4e-3)),
        recipe=perceptron,
        matching="Arms see the same number of puzzles.",
        presets={"default": Preset(trials=0, seeds=2, steps=8, evaluations=2)},
        arm=named_by("lr"),
        baseline="lr 0.001",
        data=lambda config, preset: DataSpec(config["task"], train=64, validation=8, test=40),
        stages=GRID_STAGES,
    )
    run_command(spec, "", ["--storage", str(tmp_path)])
    said, runs = capsys.readouterr().out, runs_of(tmp_path, "sizes")
    keys = ["sudoku-4x4-64-8-40", "sudoku-6x6-64-8-40"]
    assert all(f"mlp on {key}, lr 0.004: " in said for key in keys) and "Lyapunov" not in said
    assert {run.data.tags["rrm.data"] for name, run in runs.items() if name != "sizes"} == set(keys)
    assert [logged.dataset.name for logged in runs["sizes"].inputs.dataset_inputs].count(keys[1]) == 3
    for name, task in (("trial-000", "sudoku-4x4"), ("trial-002", "sudoku-6x6")):
        args = Namespace(data=None, run=runs[name].info.run_id, count=None, seed=0)
        found = find_puzzles(args, tmp_path / "downloads", f"sqlite:///{tmp_path / 'mlflow.db'}")
        assert (found.task, len(found)) == (task, 40)


def bits(config, task, preset, seed):
    settings = ToySettings(task="copy", units=6, delay=2, length=8, batch=4, budget=8, lr=config["lr"], k=1)
    return replace(settings.recipe(seed), evaluations=preset.evaluations)


def train_bits(recipe, task, train, validation, *, rank, world, device, wrap, curve):
    assert (task, train, validation) == (None, None, None)
    network = TanhNetwork(recipe.model["units"], recipe.model["gain"], recipe.seed)
    context = Context(network, binary_cross_entropy, recipe.perturbed, recipe.batch_size, recipe.seed)
    return build_parts(recipe, context, device=device, wrap=wrap, curve=curve)


def test_an_objective_that_brings_its_own_data(cluster, tmp_path, capsys):
    spec = SweepSpec(
        name="bits",
        models=("tanh",),
        fixed=lambda models: grid(model=models, lr=(1e-3, 1e-2)),
        recipe=bits,
        matching="Arms see the same bits.",
        presets={"default": Preset(trials=0, seeds=2, steps=8, evaluations=2)},
        baseline="lr 0.001",
        trainer=train_bits,
        read=lambda known: ToyRecipe(**known),
        stages=GRID_STAGES,
        score="accuracy",
    )
    run_command(spec, "", ["--storage", str(tmp_path)])
    said, runs = capsys.readouterr().out, runs_of(tmp_path, "bits")
    assert "tanh, lr 0.01: " in said and "accuracy %" in said and "test best %" not in said
    assert not runs["bits"].inputs.dataset_inputs and not (tmp_path / "bits" / "test.npz").exists()
    for run in (run for name, run in runs.items() if name != "bits"):
        assert {"train/accuracy", "validation/accuracy"} <= set(run.data.metrics)
    assert read_curves(tmp_path / "bits" / "curves" / "trial-000.jsonl")["train/loss"][0].tolist() == [4, 8]
    with pytest.raises(SystemExit):
        run_command(spec, "", ["--storage", str(tmp_path), "--name", "other", "--data", str(tmp_path)])
    assert "the sweep bits brings its own data: leave --data out" in capsys.readouterr().err


def test_what_is_said_of_a_training_is_what_was_trained(cluster, tmp_path, capsys, monkeypatch):
    """The recipe of an arm changes while a sweep is interrupted: half of the trials have begun."""

    def spec(lr, arm=None):
        def recipe(config, *rest):
            return small(config, *rest, lr=4e-3 if config["rate"] == "usual" else lr)

        fixed = lambda models: grid(model=models, rate=("usual", "other"))  # noqa: E731
        return SweepSpec("edited", ("trm_mlp",), fixed, recipe, "", {"default": TINY}, arm=arm, baseline="usual")

    def by_rate(config, recipe):
        return config["rate"]

    def interrupt(*args, **info):
        os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patched:
        patched.setattr(TrackingCallback, "on_trial_complete", interrupt)
        with pytest.raises(SystemExit):
            run_command(spec(0.01, by_rate), "", ["--storage", str(tmp_path)])
    folder = tmp_path / "edited"
    begun = [path for path in (folder / "recipes").iterdir() if (folder / "tune" / path.stem).exists()]
    before = {path.name: path.read_text() for path in begun}
    assert "trial-001.json" in before and "trial-003.json" not in before

    with pytest.raises(SystemExit) as refused:
        run_command(spec(0.02, by_rate), "", ["--storage", str(tmp_path), "--resume"])
    line = capsys.readouterr().err.splitlines()[-1]
    assert refused.value.code == 2
    assert "trial-001 and trial-003 of trm_mlp are both called 'other' and train with another lr: " in line

    def told_apart(config, recipe):
        return config["rate"] if recipe.lr == 4e-3 else f"lr {recipe.lr:g}"

    run_command(spec(0.02, told_apart), "", ["--storage", str(tmp_path), "--resume"])
    said, runs = capsys.readouterr().out, runs_of(tmp_path, "edited")
    assert all((folder / "recipes" / name).read_text() == text for name, text in before.items())
    assert [runs[f"trial-00{n}"].data.tags["rrm.arm"] for n in range(4)] == ["usual", "other", "usual", "lr 0.02"]
    trained = []
    for record in json.loads((folder / "trials.json").read_text())["searched"]:
        meta = json.loads((folder / record["checkpoint"] / "checkpoint.json").read_text())
        assert runs[record["name"]].data.params["recipe.lr"] == str(meta["recipe"]["lr"])
        trained.append(meta["recipe"]["lr"])
    assert trained == [0.004, 0.01, 0.004, 0.02]
    assert re.search("trm_mlp +other", said) and re.search("trm_mlp +lr 0.02", said)
