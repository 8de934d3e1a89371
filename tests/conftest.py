"""Shared fixtures. The environment is set before ray is imported anywhere."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

# Tests write to stores and clusters of their own, whatever the developer's shell names.
for variable in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "RAY_ADDRESS"):
    os.environ.pop(variable, None)

SHARED = Path(__file__).resolve().parents[2] / "shared"


def load_reference(name: str) -> dict:
    """Reference numbers of a public implementation, {"config": dict, "state": {...}, other keys}; skips if absent."""
    path = SHARED / "reference" / f"{name}.npz"
    if not path.exists():
        pytest.skip(f"reference numbers {path.name} are not beside the repository")
    with np.load(path) as file:
        values = {key: file[key] for key in file.files}
    values["config"] = json.loads(bytes(values["config"]).decode())
    values["state"] = {key.removeprefix("state/"): v for key, v in values.items() if key.startswith("state/")}
    values["batch"] = {key: values[key] for key in ("inputs", "labels", "puzzle_identifiers")}
    return values


@pytest.fixture
def reference():
    return load_reference
