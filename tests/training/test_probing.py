"""The hook of probes: it changes no byte of a training, keeps its budget, and refuses what cannot be measured."""

import itertools
from dataclasses import replace

import pytest
import torch

from rrm.curves import CurveFile, read_curves
from rrm.errors import InputError
from rrm.models import build
from rrm.probes import PRESETS, PROBES
from rrm.tasks import get_task
from rrm.tasks.splits import generate_splits
from rrm.training.assemble import assemble
from rrm.training.grokking import grokking
from rrm.training.optim import optimizer_tensors
from rrm.training.probing import FORMULAS
from rrm.training.recipe import Recipe
from rrm.training.recipes import cpu_sudoku

TASK = get_task("sudoku-4x4")
ROWS = 6
MODELS = {
    "mlp": {"family": "mlp", "vocab_size": TASK.vocab_size, "seq_len": TASK.seq_len, "hidden_size": 32},
    "trm_mlp": cpu_sudoku(TASK).model,
    # Reading the vector of a puzzle in training prepares its update.
    "trm_att": cpu_sudoku(TASK, "trm_att").model | {"puzzle_emb_len": 2, "puzzle_emb_ndim": 64, "H_cycles": 1},
    "srm_mlp": cpu_sudoku(TASK, "srm_mlp").model,
    "trm_gdn": cpu_sudoku(TASK, "trm_gdn").model | {"H_cycles": 1, "L_cycles": 1},
}
TOKENS = ("token_mlp", "transformer")


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    torch.set_num_threads(1)
    return generate_splits(TASK.name, (25, 8, 8), 0, (6, 9), tmp_path_factory.mktemp("puzzles"))


def recipe(model, **changes):
    if model in TOKENS:
        network = {"hidden_size": 8, "mlp_size": 16}
        return grokking(model, p=7, train_share=0.5, steps=4, network=network, evaluations=2, **changes)
    made = Recipe(model=MODELS[model], budget=1.0, batch_size=ROWS, evaluations=2, warmup_steps=2, lr=1e-3, **changes)
    with torch.device("meta"):
        return replace(made, budget=4.5 * made.units_per_step(build(made.model)))


def bytes_of(splits, settings, curve=None):
    """All that a training ends with, and the state of the global generator."""
    run = assemble(settings, TASK, splits.train, splits.validation, curve=curve)
    metrics = [{name: value for name, value in row.items() if "time/" not in name} for row in run.run()]
    tensors = {**run.model.state_dict(), **{f"ema/{name}": value for name, value in run.ema.shadow.items()}}
    tensors |= optimizer_tensors(run.optimizer, dict(run.model.named_parameters()))
    return tensors | {"generator": torch.get_rng_state()}, metrics


@pytest.mark.parametrize("model", [*MODELS, *TOKENS])
def test_a_training_with_probes_is_the_same_bytes(splits, tmp_path, model):
    plain, metrics = bytes_of(splits, recipe(model))
    curve = CurveFile(tmp_path / "curve.jsonl")
    shown = assemble(recipe(model), TASK, splits.train, splits.validation)
    formula = FORMULAS[type(shown.optimizer)]
    preset = "all" if model == "mlp" else "standard"
    names = [name for name in PRESETS[preset] if not PROBES[name].lacking(shown.model, formula)]
    probed, again = bytes_of(splits, recipe(model, hooks={"probes": {"names": names, "every": 2}}), curve)
    assert metrics == again and plain.keys() == probed.keys()
    assert all(torch.equal(value, probed[name]) for name, value in plain.items())
    curve.close()
    curves = {name: values for name, values in read_curves(curve.path).items() if name.startswith("probe/")}
    assert curves["probe/path/length"][0].tolist() == [2, 4]
    assert {name.split("/")[1] for name in curves} >= {"weight_norm", "path", "adam", "hessian", "fisher", "critical"}
    assert ("probe/llc/coefficient" in curves) == (preset == "all")
    assert ("probe/heads/cosine" in curves) == (model in ("trm_att", "trm_gdn", "transformer"))
    assert ("probe/gates/half_life" in curves) == (model == "trm_gdn")
    assert ("probe/jacobian/squared_frobenius" in curves) == (model != "mlp")
    finite = {name for name, (_, values) in curves.items() if all(map(torch.isfinite, torch.from_numpy(values)))}
    assert curves.keys() - finite <= {"probe/gradient/noise_scale"}


def test_slow_probes_of_a_preset_take_turns(splits, tmp_path):
    """One at each measurement, and on with the next one after a resumption."""
    settings = replace(recipe("token_mlp", hooks={"probes": {"every": 2}}), evaluations=2)
    settings = replace(settings, budget=6 * settings.budget)
    turns = {"critical": [2, 18], "preconditioned_sharpness": [4, 20], "hessian": [6, 22], "input_hessian": [8, 24]}
    whole, later = (CurveFile(tmp_path / f"{name}.jsonl") for name in ("whole", "later"))
    run = assemble(settings, curve=whole)
    rows = run.run()
    next(rows)
    run.save(tmp_path, "")
    resumed = assemble(settings, curve=later)
    resumed.load(tmp_path)
    for _ in itertools.chain(rows, resumed.run()):
        pass
    for curve, saved in ((whole, 0), (later, 12)):
        curve.close()
        curves = read_curves(curve.path).items()
        steps = {name.split("/")[1]: found.tolist() for name, (found, _) in curves if name.startswith("probe/")}
        assert {name: steps[name] for name in turns} == {name: [s for s in turns[name] if s > saved] for name in turns}
        assert steps["fisher"] == [*range(saved + 2, 25, 2)]
    one, other = (read_curves(curve.path)["probe/preconditioned_sharpness/largest"][1] for curve in (whole, later))
    assert one[-1] == other[-1]


def test_a_budget_stretches_the_interval(splits, tmp_path):
    curve = CurveFile(tmp_path / "curve.jsonl")
    probes = {"names": ["hessian"], "every": 1, "budget": 1e-9}
    bytes_of(splits, recipe("mlp", hooks={"probes": probes}), curve)
    curve.close()
    assert read_curves(curve.path)["probe/hessian/trace"][0].tolist() == [1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"names": ["weight_norm", "vibes"]}, "probe 'vibes' is unknown: use one of weight_norm"),
        ({"preset": "most"}, "preset of probes 'most' is unknown: use one of light"),
        ({"preset": "light", "names": ["path"]}, "give one of the two"),
        ({"every": 0}, "every of the probes is 0: use a whole number from 1"),
        ({"budget": 0.0}, "budget of the probes is 0.0: use a share of the training time above 0"),
        ({"names": ["jacobian"]}, "probe 'jacobian' needs embedded tokens, and MLP under AdamATan2 has none"),
        ({"names": ["heads"]}, "probe 'heads' needs attention heads"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_training(splits, settings, message):
    with pytest.raises(InputError, match=message):
        assemble(recipe("mlp", hooks={"probes": settings}), TASK, splits.train, splits.validation)


def test_a_recipe_takes_a_preset_by_name():
    assert cpu_sudoku(TASK, probes="light").hooks["probes"] == {"preset": "light"}
    assert cpu_sudoku(TASK, probes={"names": ["path"]}).hook_settings["probes"].names == ("path",)


def test_a_probe_of_moments_needs_them(splits):
    settings = recipe("trm_mlp", optimizer={"kind": "muon"}, hooks={"probes": {"names": ["adam"]}})
    with pytest.raises(InputError, match="probe 'adam' needs an optimizer with the moments of Adam"):
        assemble(settings, TASK, splits.train, splits.validation)
