"""The studies of noisy rollouts on a real Ray: whole, interrupted and resumed, on hopeless input."""

import json
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from rrm.dynamics.escape import EscapeResult, escape
from rrm.dynamics.shards import load_rows
from rrm.dynamics.stochastic import StochasticResult, stochastic_rollouts
from rrm.models import build, describe, variant
from rrm.reports import selection as selection_report
from rrm.statistics.selection import expected_accuracies
from rrm.statistics.within_problem import mean_correlation, mixed_problems
from rrm.studies import selection as selection_study
from rrm.studies import selector_sweep
from rrm.tasks import PuzzleSet, get_task
from rrm.training.checkpoint import save_tensors, write_meta

ROOT = Path(__file__).resolve().parents[2]
TASK = get_task("sudoku-4x4")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A checkpoint folder, and puzzles of which its model solves every other one without noise.

    The model says what it reads: no call changes anything but the norm. What is already filled in it so solves, until
    noise drowns it.
    """
    folder = tmp_path_factory.mktemp("files")
    torch.manual_seed(0)
    shape = {"vocab_size": 6, "seq_len": 16, "hidden_size": 16, "num_heads": 2, "H_cycles": 1, "L_cycles": 1}
    model = build(variant("trm_att", **shape)).eval()
    weights = {name: w.zero_() if name.endswith(("down_proj.weight", "o_proj.weight")) or "init" in name else w
               for name, w in model.state_dict().items()}  # fmt: skip
    for name in ("lm_head.weight", "embed_tokens.embedding_weight"):
        torch.nn.init.eye_(weights[name])
    torch.nn.init.normal_(weights["q_head.weight"])  # it says different things of different states
    (folder / "checkpoint").mkdir()
    save_tensors(model.state_dict(), folder / "checkpoint" / "best.safetensors")
    described = {"model": describe(model), "segments": 4, "step": 1}
    write_meta(folder / "checkpoint", {"best": described, "final": described})
    drawn = TASK.generate(40, seed=4)  # no puzzle twice, half of them filled in
    filled = np.arange(40)[:, None] % 2 == 1
    puzzles = PuzzleSet.of(TASK.name, np.where(filled, drawn.labels, drawn.inputs), drawn.labels)
    puzzles.save(folder / "mixed.npz")
    puzzles.subset(slice(0, 40, 2)).save(folder / "failed.npz")
    return folder, model, puzzles


def sweep(folder, storage, *options):
    argv = ["--checkpoint", str(folder / "checkpoint"), "--data", str(folder / "mixed.npz"), "--storage", str(storage)]
    recipe = runpy.run_path(str(ROOT / "tune_specs" / "selector_sweep.py"))
    recipe["run_selector_command"](recipe["SPEC"], recipe["__doc__"], [*argv, "--name", "s", *options])


def study(folder, storage, *options, data="mixed.npz"):
    argv = ["--checkpoint", str(folder / "checkpoint"), "--data", str(folder / data), "--storage", str(storage)]
    runpy.run_path(str(ROOT / "analysis" / "qhead_stability.py"))["main"]([*argv, "--name", "s", *options])


OPTIONS = ("--K", "6", "--sigma", "2", "--depth", "4", "2", "--lambda")


def test_study_interrupted_and_resumed_is_the_whole(cluster, files, tmp_path, monkeypatch, capsys):
    folder, model, puzzles = files
    study(folder, tmp_path / "whole", *OPTIONS)
    printed = capsys.readouterr().out
    assert "is after Holm's correction for all of them" in printed
    assert "puzzles solved after 4 segments" in printed and "calibration of Q" in printed and printed.count(".png") == 2
    whole = load_rows(StochasticResult, tmp_path / "whole" / "s" / "result.npz")
    alone = stochastic_rollouts(model, puzzles, TASK, 6, (2, 4), 2.0, exponent=True)
    for name in whole.row_axes:
        assert np.array_equal(getattr(whole, name), getattr(alone, name))
    assert mixed_problems(whole.solved[:, 1:, -1]).any()

    real = selection_study.save_rows
    monkeypatch.setattr(selection_study, "save_rows", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(SystemExit) as stopped:
        study(folder, tmp_path / "broken", *OPTIONS)
    assert stopped.value.code == 130 and "--resume carries on" in capsys.readouterr().err
    shards = sorted((tmp_path / "broken" / "s" / "rollouts").glob("*.npz"))
    assert len(shards) == 3
    shards[0].unlink()
    stamps = [shard.stat().st_mtime_ns for shard in shards[1:]]
    monkeypatch.setattr(selection_study, "save_rows", real)
    study(folder, tmp_path / "broken", *OPTIONS, "--resume", "--workers", "1")
    again = load_rows(StochasticResult, tmp_path / "broken" / "s" / "result.npz")
    assert all(np.array_equal(getattr(again, name), getattr(whole, name)) for name in whole.row_axes)
    assert [shard.stat().st_mtime_ns for shard in shards[1:]] == stamps

    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path / 'broken' / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("selection").experiment_id])
    wanted = {f"{name}_low" for name in ("accuracy/depth_4/K_6/best_Q", "calibration/depth_2/brier",
                                   "rank_correlation/depth_4/within_problems")}  # fmt: skip
    assert run.info.status == "FINISHED" and wanted <= set(run.data.metrics)


def test_symmetric_copies_are_rollouts_like_noisy_ones(cluster, files, tmp_path, capsys):
    """The model copies what it reads, so that every copy says the same; noise on top tells them apart."""
    folder, model, puzzles = files
    study(folder, tmp_path, "--K", "3", "--depth", "4", "--rollouts", "symmetry")
    printed = capsys.readouterr().out
    assert "symmetric copies: after 4 segments, one rollout without noise solves 50.0 %" in printed
    assert "one rollout of these calls" in printed and "first settled is" in printed
    found = load_rows(StochasticResult, tmp_path / "s" / "result.npz")
    assert (found.sigma, found.rollouts) == (0.0, "symmetry") and (found.answer == found.answer[:, :1]).all()
    assert (found.stop_segment[..., 1] == 3).all() and found.solved.mean() == 0.5


def test_a_set_without_a_mixed_problem_says_so(cluster, files, tmp_path, capsys):
    study(files[0], tmp_path, "--K", "2", data="failed.npz")
    assert "0 problems are mixed: nothing can be said" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--where", "X"], "--where 'X' is no half of the state: use one of both, z_H, z_L"),
        (["--rollouts", "mirror"], "--rollouts 'mirror' is unknown: use one of noise, symmetry"),
        (["--sigma", "-1"], "--sigma -1 is not a noise scale"),
        (["--depth", "4", "4"], "--depth 4 4 is not possible"),
        (["--K", "0"], "--K 0 is too few"),
        (["--count", "1"], "one puzzle says nothing of puzzles"),
    ],
)
def test_bad_input_is_one_line_before_any_work(cluster, files, tmp_path, capsys, options, message):
    with pytest.raises(SystemExit) as stopped:
        study(files[0], tmp_path, *options)
    error = capsys.readouterr().err
    assert stopped.value.code == 2 and message in error and error.count("\n") == 1
    assert not (tmp_path / "s").exists()


def test_sweep_interrupted_and_resumed(cluster, files, tmp_path, monkeypatch, capsys):
    folder, model, puzzles = files
    options = ("--K", "4", "1", "--sigma", "2", "0.7", "--where", "both", "L", "--choose-on", "12")
    real = selector_sweep.choose
    monkeypatch.setattr(selector_sweep, "choose", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(SystemExit) as stopped:
        sweep(folder, tmp_path, *options)
    assert stopped.value.code == 130 and "--resume carries on" in capsys.readouterr().err
    shards = sorted((tmp_path / "s" / "choice").glob("*/*.npz"))
    assert [shard.parent.name for shard in shards] == [
        "sigma-0.7-both", "sigma-0.7-z_L", "sigma-2-both", "sigma-2-z_L", "symmetry",
    ]  # fmt: skip
    shards[0].unlink()
    stamps = [shard.stat().st_mtime_ns for shard in shards[1:]]
    monkeypatch.setattr(selector_sweep, "choose", real)
    sweep(folder, tmp_path, *options, "--resume")
    assert [shard.stat().st_mtime_ns for shard in shards[1:]] == stamps
    printed = capsys.readouterr().out
    assert "choice of noise or copies on 12 puzzles" in printed and printed.count(".png") == 3
    assert "breadth against depth: selectors of K rollouts of 2 segments" in printed and "At equal network" in printed

    choice = json.loads((tmp_path / "s" / "choice.json").read_text())
    used, others = choice["puzzles"], np.setdiff1d(np.arange(40), choice["puzzles"])
    assert len(used) == 12 and choice["selector"] == "best Q" and choice["K"] == 4 and choice["depth"] == 4
    expected = {}
    for point in choice["grid"]:
        at = point["sigma"], point["where"]
        copies = at == (0, "symmetry")
        differ = {"sigma": 0.0, "rollouts": "symmetry"} if copies else {"sigma": at[0], "where": at[1]}
        alone = stochastic_rollouts(model, puzzles.subset(used), TASK, 4, (4,), **differ)
        noisy = (slice(None), slice(1, None), 0)
        by_q = expected_accuracies(alone.solved[noisy], alone.answer[noisy], {"Q": alone.q_halt[noisy]}, 4)["Q"]
        assert point["accuracy"] == pytest.approx(by_q.mean())
        expected[at] = point["accuracy"]
    assert len(expected) == 5 and (choice["sigma"], choice["where"]) == max(expected, key=expected.get)
    assert len(set(expected.values())) > 1

    found = load_rows(StochasticResult, tmp_path / "s" / "result.npz")
    alone = stochastic_rollouts(model, puzzles.subset(others), TASK, 4, (2, 4), choice["sigma"], choice["where"])
    assert found.index.tolist() == others.tolist() and np.array_equal(found.q_halt, alone.q_halt)
    deep = load_rows(EscapeResult, tmp_path / "s" / "deep.npz")
    plain = escape(model, puzzles.subset(others), TASK, 16, batch_size=16)
    assert np.array_equal(deep.solved, plain.solved) and np.array_equal(deep.solved[:, 3], found.solved[:, 0, 1])

    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("selector").experiment_id])
    wanted = {"choice/where_z_L/sigma_2", "accuracy/depth_4/K_4/best_Q", "against_depth/depth_4/K_4/majority_low"}
    assert run.info.status == "FINISHED" and wanted <= set(run.data.metrics)
    assert run.data.metrics["against_depth/depth_4/K_4/clean"] == pytest.approx(plain.solved[:, 15].mean())
    assert run.data.tags["rrm.chosen_where"] == choice["where"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--where", "L", "X"], "--where 'X' is no half of the state: use one of both, z_H, z_L"),
        (["--where", "L", "z_L"], "--where z_L z_L names one of them twice"),
        (["--rollouts", "noise", "noise"], "--rollouts noise noise names one of them twice"),
        (["--sigma", "0"], "--sigma 0 is not a noise scale"),
        (["--K", "4", "0"], "--K 4 0 is not possible"),
        (["--choose-on", "1"], "--choose-on 1: use a share between 0 and 1, or a number of puzzles from 2 on"),
        (["--choose-on", "39"], "--choose-on 39 of 40 puzzles leaves 39 to choose the noise on and 1 for the tables"),
        (["--choose-on", "0.01"], "leaves 0 to choose the noise on and 40 for the tables"),
    ],
)
def test_bad_input_of_a_sweep_is_one_line_before_any_work(cluster, files, tmp_path, capsys, options, message):
    with pytest.raises(SystemExit) as stopped:
        sweep(files[0], tmp_path, *options)
    error = capsys.readouterr().err
    assert stopped.value.code == 2 and message in error and error.count("\n") == 1
    assert not (tmp_path / "s").exists()


def test_a_task_with_several_answers_is_reported_by_each_outcome():
    """Every rollout of every maze finds a way, half of them a short one, none the label's."""
    shape, rng = (20, 9, 1), np.random.default_rng(0)
    shortest = rng.random(shape) < 0.5
    numbers = {name: rng.normal(size=shape) for name in ("q_halt", "residual", "growth", "lambda_1")}
    result = StochasticResult(
        1.0, "L", 0, np.array([8]), np.arange(20), np.zeros(shape, bool), np.ones(shape, bool), shortest,
        answer=shortest.astype(np.uint64), settled=np.ones(shape, int), finite=np.ones(shape, bool), **numbers,
    )  # fmt: skip
    found = selection_report.findings("trm", result, ("solved", "valid", "shortest"), [1, 8])
    assert [each.clean.estimate for each in found] == [0, 1, shortest[:, 0].mean()]
    said = selection_report.report(found)
    assert len(said.figures) == 3 and any("after 8 segments, any shortest path counted" in t for t in said.tables)
    at = "accuracy/depth_8{}/K_8/majority"
    assert [said.metrics[at.format(name)] for name in ("", "_valid")] == [0, 1]
    assert 0.3 < said.metrics[at.format("_shortest")] < 0.7
    assert sum("any valid answer counted" in words for words in said.sentences) == 1

    nothing = np.full(shape, np.nan)
    overflown = replace(result, q_halt=nothing, residual=nothing, shortest=np.zeros(shape, bool))
    choice = selector_sweep.choose({(1.0, "L"): result, (9.0, "L"): overflown}, "shortest")
    assert choice.accuracy[9.0, "L"].estimate == 0 and choice.chosen == (1.0, "L")
    (by_q,) = [row for row in found[2].table if (row.selector, row.k) == ("best Q", 8)]
    assert choice.accuracy[1.0, "L"] == by_q.accuracy and choice.selector == "best Q"


def test_selectors_are_judged_together():
    """One selector that knows and three that do not: each verdict is corrected for all of them."""
    shape, rng = (60, 9, 1), np.random.default_rng(5)
    solved = rng.random(shape) < rng.beta(0.6, 0.6, (60, 1, 1))
    numbers = {name: rng.normal(size=shape) for name in ("residual", "growth", "lambda_1")}
    result = StochasticResult(
        1.0, "L", 0, np.array([8]), np.arange(60), solved, solved, solved, answer=solved.astype(np.uint64),
        settled=np.ones(shape, int), finite=np.ones(shape, bool), q_halt=solved + rng.normal(0, 0.5, shape), **numbers,
    )  # fmt: skip
    (found,) = selection_report.findings("trm", result, ("solved",))
    said = selection_report.report([found])
    # Majority against random, four selectors against random and majority, two correlations.
    assert said.verdicts.tests == 11 and "The sentences below make 11 tests" in said.sentences[0]
    text = "\n".join(said.sentences)
    assert "Of 8 rollouts, best Q is better than random (" in text
    (residual,) = [row for row in found.table if (row.selector, row.k) == ("lowest residual", 8)]
    missed = f"about {100 * said.verdicts.detectable(residual.over_random):.2g} would be found 4 times in 5"
    assert f"lowest residual is not measurably better or worse than random ({residual.over_random * 100:+z.1f}" in text
    assert f"points; {missed})" in text
    few = {name: (values[:4], mean_correlation(values[:4])) for name, (values, _) in found.within.items()}
    told = selection_report.report([replace(found, within=few)])
    assert told.verdicts.tests == 9
    assert "problems: 4 mixed problems are too few to say whether they correlate." in "\n".join(told.sentences)
    alike = {name: (np.ones(9), mean_correlation(np.ones(9))) for name in found.within}
    told = selection_report.report([replace(found, within=alike)])
    assert "within problems: the same in every problem, which leaves no spread" in "\n".join(told.sentences)
