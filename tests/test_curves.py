"""Curve files: what is appended is read back, a crash tears the last line at most, and a cut begins again at a step."""

import math

import numpy as np
import pytest

from rrm import curves
from rrm.curves import CurveFile, read_curves, thin
from rrm.errors import InputError


def test_rows_of_several_series_come_back(tmp_path):
    file = CurveFile(tmp_path / "curves" / "one.jsonl")
    file.append(10, {"loss": np.float32(0.5), "step": 10.0})
    file.append(10, {"probe/norm": math.inf})
    file.append(5, {"probe/norm": math.nan, "loss": -math.inf})
    file.close()
    file.append(20, {"loss": 1})
    file.close()
    found = read_curves(file.path)
    assert set(found) == {"loss", "probe/norm"}
    for name, steps, values in (("loss", [10, 5, 20], [0.5, -np.inf, 1]), ("probe/norm", [10, 5], [np.inf, np.nan])):
        assert found[name][0].dtype == np.int64 and found[name][1].dtype == np.float64
        np.testing.assert_array_equal(found[name][0], steps)
        np.testing.assert_array_equal(found[name][1], values)


def test_rows_are_seen_while_they_are_written(tmp_path, monkeypatch):
    file = CurveFile(tmp_path / "one.jsonl")
    file.append(0, {"loss": 1.0})
    assert not file.path.exists()  # one write for many rows
    monkeypatch.setattr(curves, "WAIT_S", 0.0)
    file.append(1, {"loss": 2.0})
    assert read_curves(file.path)["loss"][0].tolist() == [0, 1]


@pytest.mark.parametrize("torn", [b"", b'{"step": 9, "lo', b"\0\0\0\0"])
@pytest.mark.parametrize("way", ["append", "cut"])
def test_a_run_that_was_killed_goes_on_behind_its_checkpoint(tmp_path, torn, way):
    path = tmp_path / "one.jsonl"
    file = CurveFile(path)
    for step in (1, 2, 3, 2):
        file.append(step, {"loss": float(step)})
    file.flush()
    with open(path, "ab") as crash:
        crash.write(torn)
    assert read_curves(path)["loss"][0].tolist() == [1, 2, 3, 2]
    again = CurveFile(path)
    if way == "cut":
        again.cut(2)
    again.append(3, {"loss": 30.0})
    again.close()
    steps = [1, 2, 2, 3] if way == "cut" else [1, 2, 3, 2, 3]
    assert read_curves(path)["loss"][0].tolist() == steps and list(tmp_path.iterdir()) == [path]


def test_a_cut_forgets_rows_that_wait_and_needs_no_file(tmp_path):
    file = CurveFile(tmp_path / "one.jsonl")
    file.cut(5)
    assert not file.path.exists()
    file.append(6, {"loss": 1.0})
    file.append(5, {"loss": 2.0})
    file.cut(5)
    assert read_curves(file.path)["loss"][0].tolist() == [5]
    file.cut(-1)
    assert read_curves(file.path) == {}


@pytest.mark.parametrize(
    "line",
    ["no json", "[1]", '{"loss": 1.0}', '{"step": 1.5}', '{"step": 1, "loss": "a"}', '{"step": 1e400}', "[" * 9999],
)
def test_other_lines_are_refused_by_their_number(tmp_path, line):
    path = tmp_path / "one.jsonl"
    path.write_text('{"step": 0, "loss": 1}\n' + line + "\n")
    with pytest.raises(InputError, match=r"one.jsonl: not a readable curve file \(line 2 is ") as refused:
        read_curves(path)
    assert "\n" not in str(refused.value)


def test_a_step_that_no_array_holds_is_refused(tmp_path):
    (tmp_path / "one.jsonl").write_text(f'{{"step": {10**30}, "loss": 1}}\n')
    with pytest.raises(InputError, match="not a readable curve file"):
        read_curves(tmp_path / "one.jsonl")
    with pytest.raises(InputError, match="no such file"):
        read_curves(tmp_path / "two.jsonl")


def test_thinning_keeps_the_ends_and_the_extremes():
    steps, values = np.arange(2000), np.sin(np.arange(2000.0))
    values[777], values[1333], values[900:930] = 50.0, -np.inf, np.nan
    few, kept = thin(steps, values, 200)
    assert 150 < len(few) == len(kept) <= 200 and (few[0], few[-1]) == (0, 1999) and (np.diff(few) > 0).all()
    assert 50.0 in kept and -np.inf in kept
    np.testing.assert_array_equal(kept, values[few])
    for most in (2, 3, 4, 1999):
        few, _ = thin(steps, values, most)
        assert len(few) <= most and (few[0], few[-1]) == (0, 1999)
    assert thin(steps, values, 2000)[0] is steps and not len(thin(steps[:0], values[:0], 5)[0])
    with pytest.raises(ValueError, match="most is 1"):
        thin(steps, values, 1)


def test_two_thousand_rows_of_thirty_series_come_back_whole(tmp_path):
    file, row = CurveFile(tmp_path / "one.jsonl"), {f"probe/{number}": number / 7 for number in range(30)}
    for step in range(2000):
        file.append(step, row)
    file.close()
    found = read_curves(file.path)
    assert len(found) == 30 and all(len(steps) == len(values) == 2000 for steps, values in found.values())
