"""What a terminal cannot show, and readers that leave: a command goes on, or ends without a word."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = """
import subprocess, sys
from rrm.errors import InputError, exit_on_bad_input

@exit_on_bad_input
def main():
    print("σ = 0.1 \\udce9", flush=True)
    subprocess.run([sys.executable, "-c", "print('child \\\\u03c3')"], check=True)
    raise InputError("σ is wrong")

main()
"""
# Python would turn the C locale into UTF-8 by itself.
ASCII = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}


# What Python's streams depend on is left out.
PLAIN = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHON"))}
PLAIN["PYTHONPATH"] = str(Path(__file__).parents[1])


@pytest.fixture
def run(tmp_path):
    """Run a program, which is in UTF-8, in an environment with these changes."""

    def run(code: str, **changes: str) -> subprocess.CompletedProcess:
        (tmp_path / "program.py").write_text(code, encoding="utf-8")
        command = [sys.executable, tmp_path / "program.py"]
        return subprocess.run(command, capture_output=True, env=PLAIN | changes, timeout=60)

    return run


@pytest.mark.parametrize("variables", [ASCII, {"PYTHONIOENCODING": "latin-1"}, {"PYTHONIOENCODING": "ascii"}, {}])
def test_a_sigma_ends_no_command(run, variables):
    done = run(COMMAND, **variables)
    assert done.returncode == 2, done.stderr
    sigma = b"?" if variables else "σ".encode()
    assert done.stdout.splitlines() == [sigma + b" = 0.1 ?", "child σ".encode()]
    assert done.stderr.splitlines() == [b"error: " + sigma + b" is wrong"]


def test_files_are_in_utf8_whatever_the_locale(run, tmp_path):
    code = f"""
from pathlib import Path
from rrm.jobs.folder import write_json
from rrm.terminal.table import write_csv
from rrm.tracking.spool import Spool
folder = Path({str(tmp_path)!r})
write_csv([{{"σ": "λ₁"}}], folder / "table.csv")
Spool(folder / "spool", {{"uri": "σ", "experiment": "", "job": ""}}).append({{"op": "tags"}})
"""
    assert run(code, **ASCII).stderr == b""
    assert (tmp_path / "table.csv").read_text(encoding="utf-8") == "σ\nλ₁\n"


LINES = """
import sys
from rrm.errors import exit_on_bad_input

@exit_on_bad_input
def main():
    for number in range(100_000):
        print(number, flush={flush})

main()
"""


@pytest.mark.parametrize("flush", [True, False])
def test_a_reader_that_leaves_ends_a_command_without_a_word(flush):
    command = [sys.executable, "-c", LINES.format(flush=flush)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=PLAIN) as program:
        assert program.stdout.readline().strip() == b"0"
        program.stdout.close()
        assert (program.stderr.read(), program.wait(60)) == (b"", 141)


def test_output_that_finds_no_room_ends_a_command_with_one_line():
    with open("/dev/full", "wb") as full:
        command = [sys.executable, "-c", LINES.format(flush=False)]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, env=PLAIN, timeout=60)
    assert done.returncode == 2 and done.stderr.startswith(b"error: no space left") and done.stderr.count(b"\n") == 1


def test_a_working_folder_that_was_removed(tmp_path):
    code = f"import os; os.chdir({str(tmp_path)!r}); os.rmdir({str(tmp_path)!r})\n" + LINES.format(flush=False)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=PLAIN, timeout=60)
    assert done.returncode == 2 and done.stderr.startswith(b"error: the working folder was removed"), done.stderr


CLOSED = """
import os, sys
from rrm.errors import exit_on_bad_input

@exit_on_bad_input
def main():
    assert os.open("file", os.O_CREAT | os.O_RDWR) > 2
    os.write(1, b"a library"); os.write(2, b"another")
    print("a line"); print("a line", file=sys.stderr)
    assert os.stat("file").st_size == 0
    sys.exit(7)

main()
"""


def test_closed_streams_take_what_is_written(tmp_path):
    command = ["sh", "-c", 'exec "$0" -c "$1" <&- >&- 2>&-', sys.executable, CLOSED]
    assert subprocess.run(command, cwd=tmp_path, env=PLAIN, timeout=60).returncode == 7


def test_a_working_folder_in_another_encoding(tmp_path):
    folder = os.fsencode(tmp_path) + b"/l\xe4ufe"
    os.mkdir(folder)
    command = [sys.executable, "-c", LINES.format(flush=False)]
    done = subprocess.run(command, cwd=folder, capture_output=True, env=PLAIN, timeout=60)
    assert done.returncode == 2 and b"l\\udce4ufe' has bytes that are no text here: export LC_ALL" in done.stderr


def test_help_into_a_closed_pipe_is_quiet():
    """argparse itself passes over a pipe that is closed."""
    with subprocess.Popen(
        [sys.executable, "-m", "rrm", "doctor", "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=PLAIN
    ) as program:
        program.stdout.close()
        assert program.stderr.read() == b"" and program.wait(60) in (0, 141)


BROKEN = """
from rrm.errors import exit_on_bad_input

@exit_on_bad_input
def main():
    raise BrokenPipeError(32, "of a store")

main()
"""


def test_a_broken_connection_is_an_error_of_its_own(run):
    done = run(BROKEN)
    assert done.returncode == 1 and b"of a store" in done.stderr
