"""Data flows one way: puzzle, model, trajectory, exponents, statistics, figure. Imports go against it, never along."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# What each package of plain PyTorch and NumPy may import of rrm, besides itself; none of them knows Ray or MLflow.
PLAIN = {
    "tasks": {"errors", "files", "paths"},
    "models": {"errors", "files"},
    "dynamics": {"errors", "files", "models", "tasks"},
    "training": {"dynamics", "errors", "files", "models", "tasks"},
    "statistics": set(),
    "figures": {"statistics"},
}
ONLY_IN = {"ray": "cluster", "mlflow": "tracking"}


def imported(file: Path) -> set[str]:
    """Dotted names that a file imports, within functions too."""
    nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    plain = {name.name for node in nodes if isinstance(node, ast.Import) for name in node.names}
    return plain | {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}


@pytest.mark.parametrize("package", PLAIN)
def test_plain_packages_import_what_comes_before_them_alone(package):
    found = {
        f"{file.name}: {name}"
        for file in (ROOT / "rrm" / package).rglob("*.py")
        for name in imported(file)
        if name.startswith("rrm.") and name.split(".")[1] not in PLAIN[package] | {package}
    }
    assert not found


def test_one_package_knows_ray_and_one_mlflow():
    found = {
        f"{file.relative_to(ROOT)}: {name}"
        for folder in ("rrm", "tune_specs", "analysis")
        for file in (ROOT / folder).rglob("*.py")
        for name in imported(file)
        if (home := ONLY_IN.get(name.split(".")[0])) and file.relative_to(ROOT).parts[:2] != ("rrm", home)
    }
    assert not found
