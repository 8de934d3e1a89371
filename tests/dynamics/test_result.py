"""The result file: what it keeps, and what it refuses."""

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from rrm.dynamics import Settings, load_result, measure, save_result
from rrm.dynamics.measure import choose_batch
from rrm.dynamics.result import join_files, join_results
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
    for name, array in whole.arrays.items():
        assert np.array_equal(joined.arrays[name], array), name
    assert np.allclose(whole.lambda_per_segment, 2 * whole.lambda_per_call)
    assert np.allclose(whole.lambda_segments.mean(1), whole.lambda_per_segment, atol=1e-6)
    assert np.array_equal(whole.solved_at[:, -1], whole.solved) and whole.finite.all()


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
    with pytest.raises(ValueError, match="puzzle 0 is in two of the results"):
        join_results([whole, whole])


def test_broken_files_are_refused(measured, tmp_path):
    path = tmp_path / "r.safetensors"
    save_result(measured[0], path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="not a readable result file"):
        load_result(path)
    path.write_bytes(content.replace(b'\\"version\\": 3', b'\\"version\\": 9'))
    with pytest.raises(InputError, match="has version 9"):
        load_result(path)
    with pytest.raises(InputError, match="no such file"):
        load_result(tmp_path / "none")


def test_streamed_join_is_the_same_result_and_the_same_bytes(measured, tmp_path):
    whole, model, puzzles, task = measured
    for number, rows in enumerate((range(16), range(16, 20))):
        save_result(measure(model, puzzles, task, whole.settings, rows), tmp_path / str(number))
    for target in (tmp_path / "a", tmp_path / "b"):
        join_files([tmp_path / "0", tmp_path / "1"], target, {"run": "abc"})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    streamed = load_result(tmp_path / "a")
    assert streamed.settings == whole.settings and streamed.provenance == {"run": "abc"}
    for name, array in whole.arrays.items():
        assert np.array_equal(streamed.arrays[name], array, equal_nan=name == "q_halt"), name
    some = load_result(tmp_path / "a", most_rows=7)
    assert some.index.tolist() == list(range(0, 20, 3)) and np.array_equal(some.margin, whole.margin[::3])


def test_a_file_of_version_1_still_loads():
    old = load_result(Path(__file__).parent / "files" / "lyapunov-v1.safetensors")
    assert len(old) == 6 and old.provenance == {"trial": "trial-000"}
    assert np.allclose(old.lambda_per_call[0], [0.38943582, 0.45008879])
    with pytest.raises(InputError, match="has no lambda_segments: it was written by version 1"):
        old.per_segment("lambda_segments")


def test_a_file_of_version_2_loads_without_what_nothing_reads(tmp_path):
    path = Path(__file__).parent / "files" / "lyapunov-v2.safetensors"
    old = load_result(path)
    assert np.allclose(old.lambda_per_call[0], [0.16524631, 0.12376355]) and old.violations.tolist()[:2] == [30, 38]
    assert old.per_segment("margin").shape == (6, 3) and not {"violations_at", "halting"} & set(old.arrays)
    some = load_result(path, most_rows=3)
    assert some.index.tolist() == [0, 2, 4]
    join_files([path], tmp_path / "new", old.provenance)  # a study that was begun by an older version
    new = load_result(tmp_path / "new")
    assert new.settings == old.settings and b'version\\": 3' in (tmp_path / "new").read_bytes()
    assert all(np.array_equal(new.arrays[name], array, equal_nan=True) for name, array in old.arrays.items())


def test_rows_that_blow_up_are_flagged_and_leave_the_others_alone(measured):
    whole, model, puzzles, task = measured
    broken = copy.deepcopy(model)
    with torch.no_grad():
        broken.embed_tokens.embedding_weight[1] = torch.inf  # the blank cell's
    full = puzzles.labels.copy()
    mixed = replace(puzzles, inputs=np.where(np.arange(20)[:, None] < 2, puzzles.inputs, full))
    found = measure(broken, mixed, task, whole.settings)
    assert found.finite.tolist() == [False] * 2 + [True] * 18
    assert np.isnan(found.lambda_per_call[:2]).all() and np.isfinite(found.lambda_per_call[2:]).all()
    assert not found.solved_at[:2].any()


def test_settings_must_describe_the_model(measured):
    whole, model, puzzles, task = measured
    with pytest.raises(ValueError, match="calls_per_segment = 3, the model has 2"):
        measure(model, puzzles, task, replace(whole.settings, calls_per_segment=3))


def test_batch_size_is_a_power_of_two_under_the_memory():
    model = build(variant("trm_mlp", vocab_size=6, seq_len=16, hidden_size=16, H_cycles=1, L_cycles=1))
    assert choose_batch(model, 8) == 16
    large = build(variant("trm_mlp", vocab_size=6, seq_len=900, hidden_size=512, H_cycles=1, L_cycles=1))
    assert choose_batch(large, 32) in (1, 2)
