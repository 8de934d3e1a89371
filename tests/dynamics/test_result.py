"""The result file: what it keeps, and what it refuses."""

from dataclasses import replace

import numpy as np
import pytest

from rrm.dynamics import Settings, join_results, load_result, measure, save_result
from rrm.errors import InputError
from rrm.models import build, variant
from rrm.tasks import get_task


@pytest.fixture(scope="module")
def measured():
    task = get_task("sudoku-4x4")
    puzzles = task.generate(20, seed=0)
    model = build(variant("trm_mlp", vocab_size=6, seq_len=16, hidden_size=16, H_cycles=1, L_cycles=1)).eval()
    settings = Settings(
        k=2, segments=5, calls_per_segment=2, seed=0, precision="float32", model="{}", task=task.name,
        checkpoint_hash="c", data_hash="d",
    )  # fmt: skip
    return measure(model, puzzles, task, settings), model, puzzles, task


def test_shards_in_any_order_give_the_whole_bit_for_bit(measured):
    whole, model, puzzles, task = measured
    shards = [measure(model, puzzles, task, whole.settings, rows) for rows in (range(16, 20), range(16))]
    joined = join_results(shards)
    assert len(joined) == 20 and joined.lambda_per_call.shape == (20, 2) and joined.drift_H.shape == (20, 5)
    for name in ("index", "lambda_per_call", "lambda_per_segment", "drift_H", "q_halt", "solved", "violations"):
        assert np.array_equal(getattr(joined, name), getattr(whole, name)), name
    assert np.allclose(whole.lambda_per_segment, 2 * whole.lambda_per_call)


def test_round_trip(measured, tmp_path):
    whole = replace(measured[0], provenance={"run": "abc"})
    save_result(whole, tmp_path / "r.safetensors")
    again = load_result(tmp_path / "r.safetensors")
    assert again.settings == whole.settings and again.provenance == {"run": "abc"}
    assert np.array_equal(again.lambda_per_call, whole.lambda_per_call) and again.solved.dtype == bool


def test_joining_two_scales_or_one_puzzle_twice_is_refused(measured):
    whole = measured[0]
    other = replace(whole, settings=replace(whole.settings, unit="nats per segment"))
    with pytest.raises(ValueError, match="different unit .*cannot be joined"):
        join_results([whole, other])
    with pytest.raises(ValueError, match="a puzzle is in two"):
        join_results([whole, whole])


def test_broken_files_are_refused(measured, tmp_path):
    path = tmp_path / "r.safetensors"
    save_result(measured[0], path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="not a readable result file"):
        load_result(path)
    path.write_bytes(content.replace(b'\\"version\\": 1', b'\\"version\\": 9'))
    with pytest.raises(InputError, match="has version 9"):
        load_result(path)
    with pytest.raises(InputError, match="does not exist"):
        load_result(tmp_path / "none")
