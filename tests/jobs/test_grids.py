"""Grids over named axes: what the command line says of any of them reaches the run."""

import importlib.util
import json
from pathlib import Path

import pytest

from rrm.commands.sweep import parse_grid, run_command
from rrm.jobs.data import DataKeys
from rrm.jobs.recipes import Recipes
from rrm.studies.checks import fixed_configurations
from rrm.studies.sweep import probed

FILE = Path(__file__).resolve().parents[2] / "tune_specs" / "grokking_sweep.py"

# For every axis another value, further options that it needs, and where it stands in the recipe.
OTHERS = {
    "model": ("transformer", {}, "model.family"),
    "operations": ("subtract+divide", {}, "table.operations"),
    "p": ("37", {}, "table.p"),
    "train_share": ("0.5", {}, "table.train_share"),
    "data_seed": ("3", {}, "table.data_seed"),
    "twins": ("no", {}, "table.twins"),
    "hidden_size": ("32", {}, "model.hidden_size"),
    "mlp_size": ("128", {}, "model.mlp_size"),
    "num_layers": ("3", {}, "model.num_layers"),
    "num_heads": ("2", {"model": "transformer"}, "model.num_heads"),
    "num_ffn_heads": ("2", {"model": "routed_mlp"}, "model.num_ffn_heads"),
    "activation": ("gelu", {}, "model.activation"),
    "norm": ("pre", {"model": "transformer"}, "model.norm"),
    "tied": ("yes", {"model": "transformer"}, "model.tied"),
    "loss": ("stablemax", {}, "loss"),
    "precision": ("float64", {}, "objective.precision"),
    "routing": ("consistency", {"model": "routed_transformer"}, "objective.routing"),
    "routing_weight": ("0.5", {"model": "routed_mlp", "routing": "gini"}, "objective.routing_weight"),
    "price": ("0.25", {"model": "gated_mlp"}, "objective.price"),
    "cost": ("flops", {"model": "gated_mlp"}, "objective.cost"),
    "smoothness": ("0.5", {}, "objective.smoothness"),
    "smooth_radius": ("0.1", {}, "objective.smooth_radius"),
    "smooth_every": ("5", {}, "objective.smooth_every"),
    "optimizer": ("adam", {}, "optimizer.kind"),
    "lr": ("0.01", {}, "lr"),
    "weight_decay": ("0.3", {}, "weight_decay"),
    "beta1": ("0.8", {}, "optimizer.betas"),
    "beta2": ("0.999", {}, "optimizer.betas"),
    "eps": ("1e-6", {}, "optimizer.eps"),
    "momentum": ("0.7", {"optimizer": "sgd"}, "optimizer.momentum"),
    "schedule": ("cosine", {}, "schedule"),
    "warmup_steps": ("77", {}, "warmup_steps"),
    "clip_norm": ("0.5", {}, "clip_norm"),
    "batch_size": ("64", {}, "batch_size"),
    "gradient_filter": ("window", {}, "hooks.gradient_filter.filter"),
    "filter_gain": ("4.5", {"gradient_filter": "ema"}, "hooks.gradient_filter.gain"),
    "filter_decay": ("0.7", {"gradient_filter": "ema"}, "hooks.gradient_filter.decay"),
    "filter_window": ("50", {"gradient_filter": "window"}, "hooks.gradient_filter.window"),
    "every": ("7", {}, "hooks.journal.every"),
    "stop_after": ("none", {}, "hooks.journal.stop_after"),
    "snapshot_every": ("100", {}, "hooks.snapshots.every"),
}
READ = {"yes": True, "no": False, "none": None, "0.8": [0.8, 0.98], "0.999": [0.9, 0.999]}


@pytest.fixture(scope="module")
def grid():
    spec = importlib.util.spec_from_file_location("grokking_sweep", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.SPEC


def recipes(grid, *argv):
    """-> (the recipe of every trial as plain values, the names of their arms)."""
    spec, args = parse_grid(grid, "", [*argv])
    preset = spec.presets[args.preset]
    made = Recipes.of_spec(spec, Path("nowhere"), preset, DataKeys("", {None: None}, {}, {}))
    trials = [made.make(config | {"trial": 0}) for config in fixed_configurations(spec, args.model, preset, args.seed)]
    return [trial.recipe.to_dict() for trial in trials], [trial.arm.name for trial in trials]


# Fault 12 of an earlier system: options that did not override a file of settings, and settings that no run was given.
def test_every_axis_reaches_the_run(grid):
    assert OTHERS.keys() == grid.axes.keys()
    for name, (value, needed, place) in OTHERS.items():
        options = [word for key, given in needed.items() for word in (f"--{key.replace('_', '-')}", given)]
        options = ["--weight-decay", "1", *options] if name != "weight_decay" else options
        options = ["--model", "token_mlp", *options] if "model" not in needed and name != "model" else options
        before = at(recipes(grid, *options)[0][0], place)
        (after, *_), _ = recipes(grid, *options, f"--{name.replace('_', '-')}", value)
        found = json.loads(json.dumps(at(after, place)))
        plain = value.split("+") if name == "operations" else value
        expected = READ[value] if value in READ else type(found)(plain)
        assert found == expected != before, name


def at(recipe, place):
    for key in place.split("."):
        recipe = recipe.get(key, {})
    return recipe


def test_probes_reach_the_run(grid):
    for argv, chosen in (([], grid.rest["probes"]), (["--probes", "none"], None)):
        spec, args = parse_grid(grid, "", argv)
        spec = probed(spec, args)
        made = spec.recipe(fixed_configurations(spec, args.model, spec.presets["default"], 0)[0], None,
                           spec.presets["default"], 0)  # fmt: skip
        assert made.hooks.get("probes") == chosen
    for names, chosen in ((["light"], {"preset": "light"}), (["path", "adam"], {"names": ["path", "adam"]})):
        spec, args = parse_grid(grid, "", ["--probes", *names, "--probe-every", "8", "--probe-budget", "0.1"])
        spec = probed(spec, args)
        made = spec.recipe(fixed_configurations(spec, args.model, spec.presets["default"], 0)[0], None,
                           spec.presets["default"], 0)  # fmt: skip
        assert made.hooks["probes"] == chosen | {"every": 8, "budget": 0.1} and "journal" in made.hooks


def test_presets_are_what_they_say(grid):
    eighteen, names = recipes(grid, "--preset", "eighteen")
    assert len(eighteen) == 18 == len(set(names)) and names[0] == "p 17, lr 0.0003, weight_decay 0.5"
    shapes = {(r["model"]["family"], r["model"]["num_layers"], r["model"]["hidden_size"]) for r in eighteen}
    assert shapes == {("transformer", 2, 128)} and {r["clip_norm"] for r in eighteen} == {1.0}
    default, names = recipes(grid)
    assert {(r["model"]["family"], r["weight_decay"], r["seed"]) for r in default} == {
        (model, decay, seed) for model in ("token_mlp", "transformer") for decay in (0.0, 1.0) for seed in range(3)
    }
    assert {*names} == {"weight_decay 0", "weight_decay 1"}
    depth, names = recipes(grid, "--preset", "depth", "--price", "0", "0.5")
    assert {r["objective"]["price"] for r in depth} == {0.0, 0.5} and {*names} == {"price 0", "price 0.5"}


def test_a_dry_run_lists_the_trials_and_starts_none(grid, tmp_path, capsys):
    run_command(grid, "", ["--p", "7", "11", "--model", "token_mlp", "--seeds", "1", "--dry-run", "--storage",
                           str(tmp_path)])  # fmt: skip
    said = capsys.readouterr().out
    assert "trial-003" in said and "trial-004" not in said and "4 trials" in said
    assert not (tmp_path / "grokking_sweep").exists()


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--p", "x"], "argument --p: 'x' is no value of p: use values such as 59"),
        (["--twins", "maybe"], "'maybe' is no value of twins: use values such as yes"),
        (["--p", "15", "--operations", "divide"], "p is 15, which is no prime"),
        (["--operations", "power"], "operation 'power' is unknown"),
        (["--train-share", "0.0001"], "leaves none for training"),
        (["--price", "-1"], "price is -1: use 0 or more"),
        (["--optimizer", "lion"], "optimizer 'lion' is unknown"),
        (["--model", "rnn"], "model family 'rnn' is unknown: use one of"),
        (["--batch-size", "9999"], "fewer than the batch size 9999"),
        (["--steps", "0"], "--steps 0 is too few"),
        (["--steps", "3"], "pays for 3 steps"),
        (["--probes", "vibes"], "probe 'vibes' is unknown: use one of weight_norm"),
        (["--probes", "heads", "--model", "token_mlp"], "probe 'heads' needs attention heads"),
        (["--probes", "light", "--probe-budget", "-1"], "budget of the probes is -1.0"),
        (["--probes", "none", "--probe-budget", "0.1"], "--probe-every and --probe-budget are of probes: name some"),
    ],
)
def test_bad_values_end_with_one_line_before_anything_starts(grid, tmp_path, capsys, argv, message):
    with pytest.raises(SystemExit) as refused:
        run_command(grid, "", ["--storage", str(tmp_path), *argv])
    said = capsys.readouterr().err.strip()
    assert refused.value.code == 2 and message in said and "\n" not in said
