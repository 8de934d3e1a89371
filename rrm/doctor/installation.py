"""Python and packages: do they match pyproject.toml, and is the imported rrm the installed one?"""

import json
import platform
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlparse

import rrm
from rrm.doctor.finding import Finding, Setting, fail, ok, warn

if TYPE_CHECKING:
    from packaging.requirements import Requirement

HERE = Path(rrm.__file__).resolve().parents[1]


def _asked() -> tuple[str, list[str]]:
    """(Python's range, requirements): of the checkout that rrm is imported from, else of the installed package."""
    project = HERE / "pyproject.toml"
    if project.exists():
        table = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
        return table["requires-python"], table["dependencies"]
    found = metadata.metadata("rrm")
    return found["Requires-Python"], [line for line in found.get_all("Requires-Dist") or [] if "extra ==" not in line]


def python_version(setting: Setting) -> Iterator[Finding]:
    """Python against requires-python."""
    from packaging.specifiers import SpecifierSet

    asked, version = _asked()[0], platform.python_version()
    if SpecifierSet(asked).contains(version, prereleases=True):
        yield ok(version)
    else:
        yield fail(f"Python {version}", f"rrm needs {asked}", "make a virtual environment of a newer Python")


def packages(setting: Setting) -> Iterator[Finding]:
    """Installed packages against the ranges of pyproject.toml, the pieces of their extras included."""
    from packaging.requirements import Requirement

    good = []
    for line in _asked()[1]:
        wanted = Requirement(line)
        try:
            version = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            yield fail(f"{wanted.name} is not installed", f"rrm needs {wanted}", f"pip install '{wanted}'")
            continue
        missing = sorted(_missing_of_extras(wanted))
        if missing:
            yield fail(
                f"{wanted.name} lacks {', '.join(missing)}",
                f"the extras [{','.join(sorted(wanted.extras))}] are not whole; Ray's dashboard and Train need them",
                f"pip install '{wanted}'",
            )
        elif not wanted.specifier.contains(version, prereleases=True):
            yield warn(f"{wanted.name} {version}", f"rrm is tested with {wanted.specifier}", f"pip install '{wanted}'")
        else:
            good.append(f"{wanted.name} {version}")
    if good:
        yield ok(", ".join(good))


def _missing_of_extras(wanted: "Requirement") -> set[str]:
    """Names of packages that the extras of an installed requirement ask for and that are not there."""
    from packaging.requirements import Requirement

    missing = set()
    for line in metadata.requires(wanted.name) or []:
        part = Requirement(line)
        if part.marker is None or part.marker.evaluate({"extra": ""}):
            continue
        if any(part.marker.evaluate({"extra": extra}) for extra in wanted.extras):
            try:
                metadata.version(part.name)
            except metadata.PackageNotFoundError:
                missing.add(part.name)
    return missing


def imported(setting: Setting) -> Iterator[Finding]:
    """Is the rrm that runs here the one that Ray's workers would import?"""
    cure = f"pip install -e {HERE}"
    try:
        installed = metadata.distribution("rrm")
    except metadata.PackageNotFoundError:
        yield fail(f"rrm runs from {HERE} and is not installed", "workers of Ray cannot import it", cure)
        return
    origin = json.loads(installed.read_text("direct_url.json") or "{}")
    if origin.get("dir_info", {}).get("editable"):
        where = Path(unquote(urlparse(origin["url"]).path)).resolve()
    else:
        where = Path(str(installed.locate_file(""))).resolve()
    if where == HERE:
        yield ok(f"rrm {rrm.__version__} of {HERE}")
    else:
        yield warn(
            f"rrm is imported from {HERE}, and installed from {where}", "workers of Ray may import the other", cure
        )
