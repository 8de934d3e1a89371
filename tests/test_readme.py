"""The README: short, and every file, command and example in it exists and runs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = (".", "rrm/cluster", "tests/endurance", "tests/gpu")
PAGES = [ROOT / folder / "README.md" for folder in FOLDERS]
MOST_WORDS = 1500  # as `wc -w` counts them
# Paths that a command makes, and the file that the guide tells its reader to write.
MADE = ("runs/", "tune_specs/my_sweep.py")
PATH = re.compile(
    r"(?<![\w./~])(?:rrm|tests|analysis|tune_specs|runs)(?:/[\w.]+)+(?:\.py|\.md|\.png)?|\bcluster\.yaml\b"
)
COMMAND = re.compile(r"python(?: -m)? ((?:rrm|tests|analysis|tune_specs)[\w./]*)(.*)")


def words(page: Path) -> list[str]:
    return page.read_text(encoding="utf-8").split()


def commands(page: Path) -> list[tuple[str, list[str]]]:
    """(module or file, its options) of every command line of a page, in code blocks and in the text."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = re.findall(r"^    (.*)$", text, re.MULTILINE) + re.findall(r"`([^`\n]+)`", text)
    found = [match.groups() for line in lines for match in COMMAND.finditer(line.partition("#")[0])]
    return [(name, re.findall(r"--[a-z][a-zA-Z-]*|--K\b", rest)) for name, rest in found]


def file_of(name: str) -> Path:
    """The file of a script, or of a module that `python -m` runs."""
    if "/" in name:
        return ROOT / name
    path = ROOT.joinpath(*name.split("."))
    return path / "__main__.py" if path.is_dir() else path.with_suffix(".py")


def test_the_readme_is_short():
    assert len(words(ROOT / "README.md")) <= MOST_WORDS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_names_exists(page):
    text = page.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    assert not [link for link in links if not (page.parent / link).exists()]
    paths = {path.rstrip(".") for path in PATH.findall(text) if not path.startswith(MADE)}
    assert not [path for path in paths if not (ROOT / path).exists()]
    named = [name for name, _ in commands(page) if name not in MADE]
    assert named and not [name for name in named if not file_of(name).is_file()]


@pytest.fixture(scope="module")
def helps():
    """The --help of every command that the README or the cluster guide gives an option to."""
    names = sorted({name for page in PAGES[:2] for name, options in commands(page) if options and name not in MADE})
    running = {}
    for name in names:
        argv = [name] if "/" in name else ["-m", name]
        argv += ["doctor"] if name == "rrm" else []
        running[name] = subprocess.Popen([sys.executable, *argv, "--help"], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    return {name: process.communicate(timeout=120)[0] for name, process in running.items()}


def test_every_option_that_a_page_gives_a_command_is_one(helps):
    unknown = [
        f"{page.name}: {name} {option}"
        for page in PAGES
        for name, options in commands(page)
        if name in helps
        for option in options
        if not re.search(rf"{option}\b", helps[name])
    ]
    assert not unknown
    others = set(re.findall(r"`(--[a-z-]+)", (ROOT / "README.md").read_text(encoding="utf-8"))) - {"--help"}
    assert others and not [option for option in others if not re.search(rf"{option}\b", "".join(helps.values()))]


def test_the_example_for_notebooks_runs():
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    found: dict = {}
    exec(compile(code, "README.md", "exec"), found)
    assert found["spectrum"].lambda_per_call.shape == (8, 8)
