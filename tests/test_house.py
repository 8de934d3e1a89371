"""The floors of the house: a package imports those below alone, Ray and MLflow have one home each, nothing is a circle.

    python tests/test_house.py      # prints the graph of packages; exit code 1 where a rule is broken
"""

import ast
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# From the ground upwards; what stands on one floor does not know each other.
FLOORS = (
    ("errors", "files", "paths", "terminal", "curves", "panels", "halves"),
    ("doctor", "tasks", "statistics"),
    ("models", "figures", "tracking"),
    ("dynamics",),
    ("probes",),
    ("training",),
    ("toys", "jobs"),
    ("reports",),
    ("cluster",),
    ("studies",),
    ("explorer",),
    ("commands",),
    ("__main__",),
)
HEIGHT = {package: floor for floor, packages in enumerate(FLOORS) for package in packages}
ONLY_IN = {"ray": "cluster", "mlflow": "tracking"}
# What a job is and says does not depend on where it is logged, and a report is words and figures alone.
FORBIDDEN = {"jobs": ("rrm.tracking",), "reports": ("rrm.tracking", "rrm.jobs.folder")}


def imported(file: Path) -> set[str]:
    """Dotted names that a file imports, within functions too, those of a `from` with what they name."""
    nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    plain = {name.name for node in nodes if isinstance(node, ast.Import) for name in node.names}
    named = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
    return plain | {f"{node.module}.{name.name}" for node in named for name in node.names}


def modules() -> dict[str, set[str]]:
    """The modules of rrm that each module imports."""
    files = {".".join(file.relative_to(ROOT).with_suffix("").parts): file for file in (ROOT / "rrm").rglob("*.py")}
    files = {name.removesuffix(".__init__"): file for name, file in files.items()}

    def known(name: str) -> str | None:
        """The module that an imported name is, or is in."""
        return next((found for found in (name, name.rpartition(".")[0]) if found in files), None)

    return {
        module: {found for name in imported(file) if (found := known(name)) and found not in (module, "rrm")}
        for module, file in files.items()
    }


def package(module: str) -> str:
    """The package of a module, or its own name where it stands beside them."""
    return module.split(".")[1]


def packages(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """The packages that each package imports."""
    found: dict[str, set[str]] = {}
    for module, others in graph.items():
        if module != "rrm":
            found.setdefault(package(module), set()).update({package(other) for other in others} - {package(module)})
    return found


def upward(graph: dict[str, set[str]]) -> list[str]:
    """Imports of a package that does not stand lower; files on the ground floor may use each other."""
    return sorted(
        f"{module} imports {other}"
        for module, others in graph.items()
        for other in others
        if package(module) != package(other)
        and HEIGHT[package(module)] <= HEIGHT[package(other)]
        and not HEIGHT[package(module)] == HEIGHT[package(other)] == 0
    )


def forbidden(graph: dict[str, set[str]]) -> list[str]:
    """Imports that a package is to do without, although what it imports stands lower."""
    return sorted(
        f"{module} imports {other}"
        for module, others in graph.items()
        for other in others
        if other.startswith(FORBIDDEN.get(package(module), ()))
    )


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Modules that import each other in a circle, empty where none do."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def strangers() -> list[str]:
    """Files that import Ray or MLflow outside of the one package that knows it."""
    return sorted(
        f"{file.relative_to(ROOT)} imports {name}"
        for folder in ("rrm", "tune_specs", "analysis")
        for file in (ROOT / folder).rglob("*.py")
        for name in imported(file)
        if (home := ONLY_IN.get(name.split(".")[0])) and file.relative_to(ROOT).parts[:2] != ("rrm", home)
    )


def test_packages_import_those_below_alone():
    assert upward(modules()) == []


def test_jobs_and_reports_know_no_store():
    assert forbidden(modules()) == []


def test_no_modules_import_each_other_in_a_circle():
    assert circle(modules()) == []


def test_one_package_knows_ray_and_one_mlflow():
    assert strangers() == []


def test_the_rules_find_what_breaks_them():
    broken = {"rrm.tasks.a": {"rrm.studies.b"}, "rrm.studies.b": {"rrm.tasks.a"}}
    assert upward(broken) == ["rrm.tasks.a imports rrm.studies.b"] and circle(broken)
    assert forbidden({"rrm.reports.a": {"rrm.tracking.read"}}) == ["rrm.reports.a imports rrm.tracking.read"]


if __name__ == "__main__":
    graph = modules()
    for name, others in sorted(packages(graph).items(), key=lambda item: HEIGHT[item[0]]):
        print(f"{HEIGHT[name]} {name:12} {' '.join(sorted(others))}")
    problems = [*upward(graph), *forbidden(graph), *circle(graph), *strangers()]
    print("\n".join(problems))
    sys.exit(bool(problems))
