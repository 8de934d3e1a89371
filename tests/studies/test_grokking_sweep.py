"""The sweep of modular arithmetic, whole: tags, events and early ends in MLflow, survival table, resumption."""

import importlib.util
import json
import os
import signal
from pathlib import Path

import pytest

from rrm.cluster.callbacks import TrackingCallback
from rrm.commands.sweep import run_command
from rrm.studies.networks import find_networks
from rrm.training.checkpoint import load_model

FILE = Path(__file__).resolve().parents[2] / "tune_specs" / "grokking_sweep.py"
TINY = "--p 13 --train-share 0.9 --lr 0.01 --steps 1500 --evaluations 2 --seeds 1 --every 10 --stop-after 20".split()


@pytest.fixture(scope="module")
def grid():
    spec = importlib.util.spec_from_file_location("grokking_sweep", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.SPEC


def test_a_sweep_ends_runs_early_says_when_they_grok_and_carries_on(cluster, grid, tmp_path, capsys, monkeypatch):
    from mlflow import MlflowClient

    argv = [*TINY, "--model", "token_mlp", "--weight-decay", "0", "1", "--storage", str(tmp_path)]
    complete = TrackingCallback.on_trial_complete

    def interrupt(self, *args, **info):
        complete(self, *args, **info)
        os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patched:
        patched.setattr(TrackingCallback, "on_trial_complete", interrupt)
        with pytest.raises(SystemExit) as stopped:
            run_command(grid, "", argv)
    assert stopped.value.code == 130
    run_command(grid, "", [*argv, "--resume"])
    said = capsys.readouterr().out
    assert "token_mlp, weight_decay 0: 0 of 1 runs grok within 1500 steps." in said
    assert "token_mlp, weight_decay 1: 1 of 1 runs grok" in said and "No verdict between arms of 1 seed" in said

    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("grokking_sweep").experiment_id])
    runs = {run.data.tags["rrm.name"]: run for run in runs}
    control, grokked = runs["trial-000"], runs["trial-001"]
    assert grokked.data.tags["rrm.model"] == "token_mlp" and grokked.data.tags["rrm.seed"] == "0"
    assert (control.data.tags["rrm.arm"], grokked.data.tags["rrm.arm"]) == ("weight_decay 0", "weight_decay 1")
    step = grokked.data.metrics["grokking/grokked_step"]
    assert grokked.data.metrics["grokking/memorised_step"] < step < 1500
    assert "grokking/grokked_step" not in control.data.metrics and "grokking/memorised_step" in control.data.metrics
    assert control.data.params["recipe.table.p"] == "13" and control.info.status == grokked.info.status == "FINISHED"

    trials = json.loads((tmp_path / "grokking_sweep" / "trials.json").read_text())["searched"]
    ends = {trial["name"]: (trial["final"]["step"], trial["evaluation"], trial["stopped_early"]) for trial in trials}
    assert ends["trial-000"] == (1500, 2, False) and step <= ends["trial-001"][0] < 1500
    assert ends["trial-001"][1:] == (2, False)
    for trial in trials:
        load_model(tmp_path / "grokking_sweep" / trial["checkpoint"])
    figures = {path.stem for path in (tmp_path / "grokking_sweep" / "figures").iterdir()}
    assert {"grokking_survival", "grokking_training", "grokking_action"} <= figures
    logged = find_networks(control.info.run_id, tmp_path, f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert logged.steps.keys() == {"initial", "500", "1000", "1500", "best", "final"}
    assert logged.token_model("500").config.classes == 13 == logged.table.p
