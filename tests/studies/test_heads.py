"""The study of heads, on a real Ray: two small trainings from the same first weights."""

import json
import re
import runpy
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from rrm.commands.heads import parse
from rrm.commands.sweep import run_command
from rrm.errors import InputError
from rrm.explorer.tabs.heads import head_figures
from rrm.explorer.view import View
from rrm.jobs.heads import ARMS, SPEC
from rrm.jobs.spec import grid
from rrm.models import build, describe, variant
from rrm.statistics.head_seeds import load_measures
from rrm.tasks import get_task
from rrm.tasks.difficulty import rated
from rrm.tasks.head_summary import load_heads
from rrm.tasks.splits import generate_splits
from rrm.training.assemble import assemble
from rrm.training.checkpoint import save_tensors, write_meta
from rrm.training.grokking import grokking

ROOT = Path(__file__).resolve().parents[2]
TASK = get_task("sudoku-4x4")
SHAPE = {"vocab_size": 6, "seq_len": 16, "hidden_size": 16, "num_heads": 2, "H_cycles": 1, "L_cycles": 2, "L_layers": 1}


def checkpoint(folder, seed, name="trm_att"):
    """Of weights that moved from those of seed 0; -> the folder."""
    torch.manual_seed(0)
    model = build(variant(name, **SHAPE)).eval()
    folder.mkdir()
    described = {"model": describe(model), "segments": 2, "step": 1}
    save_tensors(model.state_dict(), folder / "initial.safetensors")
    torch.manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.05 * seed * torch.randn_like(weight)
    for which in ("best", "final"):
        save_tensors(model.state_dict(), folder / f"{which}.safetensors")
    write_meta(folder, {"initial": {**described, "step": 0}, "best": described, "final": described})
    return folder


@pytest.fixture
def argv(tmp_path):
    TASK.generate(70, seed=0).save(tmp_path / "puzzles.npz")
    one, other = checkpoint(tmp_path / "one", 2), checkpoint(tmp_path / "other", 1)
    return ["--checkpoint", str(one), "--data", str(tmp_path / "puzzles.npz"), "--name", "h", "--draws", "2",
            "--storage", str(tmp_path / "runs"), "--null", str(other)]  # fmt: skip


def test_a_study_tells_heads_apart_and_is_carried_on_from_its_shards(cluster, argv, tmp_path, capsys):
    main = runpy.run_path(str(ROOT / "analysis" / "heads.py"))["main"]
    main(argv)
    said = capsys.readouterr().out
    folder = tmp_path / "runs" / "h"
    found = load_heads(folder / "heads.npz")
    assert found.names == ["after", "initial", "other order"] and found.puzzles == 70
    assert found.lift.shape == (3, 6, 1, 2, 7) and found.maps.shape == (3, 1, 2, 16, 16)
    assert (found.js > 0).all()
    for words in ("Which heads: most change", "of 2 heads change more than another order", "Concentrated or not",
                  "Which kind of layer", "What rank: changes of attention", "Roles: memory reader",
                  "share of the gain that goes without heads"):  # fmt: skip
        assert words in said, words
    assert {path.name for path in (folder / "figures").iterdir()} == {"heads.png", "maps.png"}
    assert [path.name for path in (tmp_path / "runs" / "artifacts").rglob("heads.npz")] == ["heads.npz"]
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("shard-*.npz")}
    (folder / "changes" / "shard-000001.npz").unlink()
    main([*argv, "--resume"])
    after = {path: path.stat().st_mtime_ns for path in folder.rglob("shard-*.npz")}
    assert [path.parent.name for path in after if after[path] != before[path]] == ["changes"]
    again = load_heads(folder / "heads.npz")
    assert np.array_equal(again.js, found.js) and np.array_equal(again.low, found.low)


def test_networks_that_cannot_be_compared_are_refused(argv, tmp_path, capsys):
    main = runpy.run_path(str(ROOT / "analysis" / "heads.py"))["main"]
    mixer = checkpoint(tmp_path / "mixer", 1, "trm_mlp")
    bare = checkpoint(tmp_path / "bare", 1)
    meta = json.loads((bare / "checkpoint.json").read_text())
    del meta["initial"]
    (bare / "checkpoint.json").write_text(json.dumps(meta))
    null = argv.index("--null")
    for given, message in (
        ([argv[0], str(mixer), *argv[2:]], "TRM has no attention heads, .* give a model such as trm_att"),
        ([*argv[: null + 1], str(mixer)], "another shape: compare trainings of one network"),
        ([*argv[: null + 1], "ab" * 16], "abababab.* has no|abababab.* is not in|does not exist"),
        ([argv[0], str(bare), *argv[2:null]], "no weights from before its training.* give --against"),
    ):
        with pytest.raises(SystemExit) as caught:
            main(given)
        said = capsys.readouterr().err
        assert caught.value.code == 2 and re.search(message, said) and said.count("\n") == 1, said


@pytest.mark.parametrize(
    "options, message",
    [(["--against", ""], "--against is empty"), (["--draws", "0"], "--draws 0 is too few"),
     (["--draws", "5000"], "--draws 5000 is not possible"), (["--segments", "0"], "--segments 0 is too few")],
)  # fmt: skip
def test_bad_options_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        parse("", ["--run", "0", *options])


def test_a_study_has_256_puzzles_by_default():
    assert parse("", ["--run", "0"]).count == 256 and parse("", ["--run", "0", "--count", "9"]).count == 9


def test_a_transformer_that_computes_equations_is_studied_on_unseen_pairs(tmp_path, capsys):
    recipe = grokking("transformer", p=7, train_share=0.5, steps=30, evaluations=1, network={"num_layers": 2})
    folders = []
    for seed in (0, 0, 1):
        folders.append(tmp_path / f"trained-{len(folders)}")
        folders[-1].mkdir()
        trainer = assemble(replace(recipe, seed=seed))
        list(trainer.run())
        trainer.save(folders[-1], "none")
    main = runpy.run_path(str(ROOT / "analysis" / "heads.py"))["main"]
    argv = ["--checkpoint", str(folders[0]), "--weights", "final", "--against", str(folders[1]),
            "--null", str(folders[2]), "--storage", str(tmp_path / "runs"), "--name", "tokens"]  # fmt: skip
    main(argv)
    said = capsys.readouterr().out
    for words in (" unseen", "2 layers of 4 heads, one pass", "first number", "share of the gain that goes",
                  "other order began with other weights", "heads are 0.000 nats away"):  # fmt: skip
        assert words in said, words
    found = load_heads(tmp_path / "runs" / "tokens" / "heads.npz")
    names = found.pattern_names
    assert {"previous", "equals", "same token"} <= set(names) and "next" not in names  # no position sees the next one
    assert found.js.shape == (3, 1, 2, 4) and np.isnan(found.high).all() and (found.js[0] > 0).all()
    # The last layer computes "=" alone, whose previous position is the second number.
    last = found.lift[0, 0, 1]
    assert np.allclose(last[:, names.index("previous")], last[:, names.index("second number")])
    assert head_figures(found, View(tab="heads"))
    with pytest.raises(SystemExit) as caught:
        main([*argv, "--data", str(folders[0])])
    assert caught.value.code == 2 and "knows the pairs of its table" in capsys.readouterr().err


def test_all_arms_of_a_seed_begin_with_the_same_weights_and_have_equal_calls(tmp_path):
    preset = SPEC.presets["smoke"]
    splits = generate_splits("sudoku-4x4", (256, 64, 64), 0, (8, 10), tmp_path)
    train, validation = rated(splits.train), rated(splits.validation)
    configs = SPEC.fixed(["trm_att"])
    recipes = [SPEC.recipe(config, TASK, preset, 3) for config in configs]
    firsts = [assemble(made, TASK, train, validation).model.state_dict() for made in recipes]
    assert [config["arm"] for config in configs] == list(ARMS) and len({made.budget for made in recipes}) == 1
    assert all(torch.equal(of[name], firsts[0][name]) for of in firsts for name in firsts[0])


def test_a_sweep_is_studied_seed_by_seed_and_a_finished_study_stays(cluster, tmp_path, capsys):
    tiny = replace(SPEC.presets["smoke"], seeds=2, steps=4, train=64, validation=16, test=24, batch_size=4)
    arms = grid(model=["trm_att"], arm=("baseline", "perturbed"))
    place = ["--storage", str(tmp_path), "--name"]
    run_command(replace(SPEC, fixed=lambda models: arms, presets={"default": tiny}), "", [*place, "tiny"])
    main = runpy.run_path(str(ROOT / "analysis" / "heads.py"))["main"]
    options = ["--sweep", "tiny", "--draws", "2", "--segments", "1", *place, "over"]
    main(options)
    said = capsys.readouterr().out
    for words in ("seed 1 is done, 2 of 2; about 0:00 left", "Which heads: divergence", "Trained perturbed: ",
                  "studies   over-seed-0, over-seed-1"):  # fmt: skip
        assert words in said, words
    measures = load_measures(tmp_path / "over" / "head_seeds.json")
    assert all(set(one.values) == {0, 1} for one in measures if one.group.startswith("which heads"))
    assert (tmp_path / "over" / "figures" / "head_seeds.png").exists()
    shutil.rmtree(tmp_path / "over-seed-1")
    before = (tmp_path / "over-seed-0" / "heads.npz").stat().st_mtime_ns
    main([*options, "--resume"])
    assert "seed 0 is done" not in capsys.readouterr().out and (tmp_path / "over-seed-1" / "heads.npz").exists()
    assert (tmp_path / "over-seed-0" / "heads.npz").stat().st_mtime_ns == before
    for given, message in (
        (["--sweep", "none"], "run none is not in"),
        ([*options, "--model", "hrm"], "no trained hrm"),
    ):
        with pytest.raises(SystemExit) as caught:
            main([*given, "--storage", str(tmp_path)])
        assert caught.value.code == 2 and message in capsys.readouterr().err
