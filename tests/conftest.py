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
# Numbers of the public implementations: of small networks in the repository, of larger ones where they lie beside it.
REFERENCES = {"small": Path(__file__).parent / "models" / "reference", "large": SHARED / "reference"}


def load_reference(name: str, size: str = "small") -> dict:
    """Reference numbers of a public implementation, {"config": dict, "state": {...}, other keys}.

    They were written by the unmodified public code in float32 on a CPU, with random weights; the exponents by forward
    mode through it and QR in float64 after every call. Skips where large ones are absent.
    """
    path = REFERENCES[size] / f"{name}.npz"
    if size == "large" and not path.exists():
        pytest.skip(f"reference numbers of a larger {name} are not beside the repository")
    with np.load(path) as file:
        values = {key: file[key] for key in file.files}
    values["config"] = json.loads(bytes(values["config"]).decode())
    values["state"] = {key.removeprefix("state/"): v for key, v in values.items() if key.startswith("state/")}
    values["batch"] = {key: values[key] for key in ("inputs", "labels", "puzzle_identifiers")}
    return values


@pytest.fixture
def reference():
    return load_reference
