"""The faults of the fault table find the functions that they wrap; without this, a renamed one would end a long run."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EVERY_PATCH = """
import importlib, sitecustomize
for module in list(sitecustomize.PATCHES):
    importlib.import_module(module)
assert not sitecustomize.PATCHES, f"never imported: {list(sitecustomize.PATCHES)}"
"""


def test_every_fault_finds_the_functions_that_it_wraps():
    path = f"{ROOT / 'tests' / 'endurance' / 'faults'}:{ROOT}"
    done = subprocess.run(
        [sys.executable, "-c", EVERY_PATCH], env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
