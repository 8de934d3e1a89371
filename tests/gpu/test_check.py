"""The check of an accelerator, rehearsed on the CPU at tiny sizes, where the libraries of sweeps are absent."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from rrm.errors import InputError
from rrm.tasks import get_task
from rrm.tasks.splits import generate_splits
from rrm.training.assemble import assemble
from rrm.training.checkpoint import load_model, read_meta
from tests.gpu.parts import cut, join
from tests.gpu.runner import Results, Stage, run_stages
from tests.gpu.sizes import SIZES

CHECK = Path(__file__).with_name("check.py")
STAGES = [*SIZES["cpu"].limits]
# The libraries that a machine with PyTorch lacks.
ABSENT = """
from importlib.machinery import PathFinder

absent = {"ray", "optuna", "mlflow", "matplotlib", "yaml", "pandas", "pytest"}
find = PathFinder.find_spec
PathFinder.find_spec = lambda name, *places: None if name.partition(".")[0] in absent else find(name, *places)
"""


def check(folder: Path, *options: str) -> subprocess.CompletedProcess:
    (folder / "sitecustomize.py").write_text(ABSENT)
    # To compile takes longer than all the rest, and other tests do it.
    around = {"PYTHONPATH": str(folder), "CUDA_VISIBLE_DEVICES": "", "TORCH_COMPILE_DISABLE": "1"}
    command = [sys.executable, str(CHECK), "--minutes", "5", "--out", str(folder / "out"), *options]
    return subprocess.run(command, cwd=folder, env=os.environ | around, capture_output=True, text=True)


def results(folder: Path) -> dict:
    return json.loads((folder / "out" / "check.json").read_text())


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory):
    """The folder of a check that ran to its end; its results lie in `out`."""
    folder = tmp_path_factory.mktemp("gpu")
    ran = check(folder)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return folder


def test_every_stage_finds_numbers_and_says_them_in_a_table(rehearsed):
    stages = results(rehearsed)["stages"]
    assert [*stages] == STAGES and {stage["status"] for stage in stages.values()} == {"finished"}
    rows = {stage: {row["case"]: row for row in found["rows"]} for stage, found in stages.items()}
    assert all(row["error"] < row["bound"] for row in rows["parity"].values())
    assert rows["step_time"]["srm_sudoku, compiled"]["step_s"] > 0
    end, start = (rows["step_time"][f"srm_sudoku{at}, eager"] for at in (", at the end", ""))
    assert end["flops"] / start["flops"] == pytest.approx(130 / 12, rel=0.1)  # calls, forward and twice backward
    errors = {case: row["error"]["one_segment"] for case, row in rows["spectra"].items() if "error" in row}
    assert errors["float32, eager"] < 1e-5 < errors["bfloat16 calls, eager"] < 0.1
    assert rows["nccl"]["gloo: srm_sudoku"]["same_bits"]
    assert [row["step"] for row in stages["training"]["rows"]] == [2, 4, 6, 8, 10, 12]
    table = (rehearsed / "out" / "check.md").read_text().splitlines()
    assert sum(line.startswith("| |") for line in table) == sum(map(len, rows.values()))
    assert all(f"| {stage} | | finished" in "\n".join(table) for stage in STAGES)


def test_an_unfinished_training_goes_on_from_its_parts_and_finished_stages_stay(rehearsed, tmp_path):
    """As it was after half of the training."""
    subprocess.run(["cp", "-r", rehearsed / "out", tmp_path], check=True)
    out, sizes = tmp_path / "out", SIZES["cpu"]
    splits = generate_splits(sizes.task, sizes.puzzles, 0, None, out / "puzzles")
    recipe = sizes.recipe("srm_sudoku", evaluations=sizes.evaluations)
    trainer = assemble(recipe, get_task(sizes.task), splits.train, splits.validation)
    for _ in zip(range(3), trainer.run(), strict=False):
        pass
    (tmp_path / "half").mkdir()
    trainer.save(tmp_path / "half", splits.content_hash())
    cut(tmp_path / "half", out / "checkpoint", sizes.part_bytes, "step-6")
    before = results(tmp_path)
    stopped = before | {"stages": before["stages"] | {"training": before["stages"]["training"] | {"status": "failed"}}}
    (out / "check.json").write_text(json.dumps(stopped))

    refused = check(tmp_path)
    assert refused.returncode == 2 and "go on with --resume" in refused.stderr
    ran = check(tmp_path, "--resume")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    after = results(tmp_path)
    for stage in STAGES[:-1]:
        assert f"{stage}: finished before" in ran.stdout and after["stages"][stage] == before["stages"][stage]
    mine, first = (held["stages"]["training"]["rows"] for held in (after, before))
    assert mine[:3] == first[:3] and mine[3:] != first[3:]  # other seconds
    assert [row["step"] for row in mine] == [2, 4, 6, 8, 10, 12]
    assert [row["loss"] for row in mine] == pytest.approx([row["loss"] for row in first], rel=1e-3)
    joined = tmp_path / "joined"
    joined.mkdir()
    join(out / "checkpoint", joined)
    assert read_meta(joined)["final"]["step"] == 12 and load_model(joined, "final").config.L_cycles == 12


LATE_ROW = """open(sys.argv[1], 'a').write('{"case": "late", "says": "something", "holds": true}' + chr(10))"""


def test_a_stage_that_overruns_or_dies_keeps_its_rows_and_leaves_the_next_one_alone(tmp_path):
    def stage(name: str, then: str, limit_s: float | None = None) -> Stage:
        row = json.dumps({"case": name, "says": "something", "holds": True})
        write = f"open(sys.argv[1], 'a').write({row!r} + chr(10))"
        code = f"import sys, time\n{write}\n{then}"
        return Stage(name, lambda rows, seconds: [sys.executable, "-c", code, str(rows)], limit_s)

    held = Results(tmp_path, {"kind": "cpu"})
    stages = [stage("slow", f"time.sleep(60)\n{LATE_ROW}", 2.0), stage("dead", "sys.exit(3)"), stage("good", "")]
    run_stages(stages, held, 30)
    found = json.loads((tmp_path / "check.json").read_text())["stages"]
    assert {name: stage["status"] for name, stage in found.items()} == {
        "slow": "over time", "dead": "failed", "good": "finished"
    }  # fmt: skip
    assert all(stage["rows"][0]["case"] == name for name, stage in found.items())
    assert len(found["slow"]["rows"]) == 1  # ended before the row behind its sleep
    run_stages([stage("late", "")], held, 1.0)
    assert held.stage("late")["status"] == "not run"
    run_stages([stage("good", "sys.exit(3)")], held, 30)
    assert held.stage("good") == found["good"]
    other = Results(tmp_path, {"kind": "cuda"})
    with pytest.raises(InputError, match="results of a cpu, and this is a cuda"):
        other.resume()


def test_parts_of_a_checkpoint_are_small_and_give_it_back(tmp_path):
    folder, parts, back = (tmp_path / name for name in ("folder", "parts", "back"))
    folder.mkdir()
    back.mkdir()
    shared, own = torch.randn(64, 32), torch.randn(64, 32)
    save_file({"w": shared}, folder / "best.safetensors")
    save_file({"ema/w": shared, "model/w": own, "none": torch.zeros(0)}, folder / "training.safetensors")
    (folder / "checkpoint.json").write_text('{"step": 1}')
    assert cut(folder, parts, 1 << 20, "early") == 1
    count = cut(folder, parts, 5000, "late")
    sizes = [path.stat().st_size for path in parts.glob("*.bin")]
    assert len(sizes) == count == 4 and max(sizes) == 5000
    assert sum(sizes) < 2 * shared.nbytes + 1000  # three tensors, two of them the same
    join(parts, back)
    assert {path.name: path.read_bytes() for path in back.iterdir()} == {
        path.name: path.read_bytes() for path in folder.iterdir()
    }
    damaged = parts / "late-part-1.bin"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    with pytest.raises(InputError, match="late-part-1.bin: damaged"):
        join(parts, back)
    damaged.unlink()
    with pytest.raises(InputError, match="a part of the checkpoint is missing"):
        join(parts, back)
