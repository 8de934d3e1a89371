"""The spectrum estimator on every system whose exponents are known."""

import math
import runpy
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rrm.dynamics.tangent_map import CallableMap
from rrm.errors import InputError
from rrm.toys.reference_systems import REFERENCE_SYSTEMS, Lorenz63, ReferenceRow, measure_reference

SCRIPT = Path(__file__).parents[2] / "analysis" / "reference_systems.py"
# Seconds each: left to the script.
SLOW = {"lorenz", "decaying_network", "chaotic_network"}


@pytest.mark.parametrize("name", sorted(REFERENCE_SYSTEMS.keys() - SLOW))
def test_known_exponents(name):
    rows = measure_reference(name)
    assert rows and not [row for row in rows if not row.ok]


def test_tangents_of_the_lorenz_flow_are_derivatives_of_its_step():
    torch.manual_seed(0)
    z, V = 10 * torch.randn(3, 3, dtype=torch.float64), torch.randn(3, 2, 3, dtype=torch.float64)
    lorenz = Lorenz63(z)
    moved, pushed = lorenz.push(0, z, V)
    by_jvp = CallableMap(lorenz.step, z).push(0, z, V)[1]
    assert torch.allclose(moved, lorenz.step(0, z), atol=1e-12) and torch.allclose(pushed, by_jvp, atol=1e-12)


def test_a_row_is_ok_within_its_tolerance_only():
    row = ReferenceRow("lambda_1", "closed form", 1.0, 1.1, None, 0.2)
    assert row.ok and not replace(row, tolerance=0.05).ok and not replace(row, measured=math.nan).ok


def test_script_prints_the_table_and_fails_with_a_row(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", [str(SCRIPT), "--only", "cat"])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("cat") and line.endswith("ok") for line in lines) == 2
    wrong = replace(
        REFERENCE_SYSTEMS["cat"], compare=lambda *_: [ReferenceRow("x", "closed form", 1.0, 2.0, None, 0.1)]
    )
    monkeypatch.setitem(REFERENCE_SYSTEMS, "cat", wrong)
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert stop.value.code == 1 and "FAIL" in capsys.readouterr().out


def test_unknown_system():
    with pytest.raises(InputError, match="'catt' is unknown: use one of symmetric"):
        measure_reference("catt")
