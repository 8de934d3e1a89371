"""Paths on the command line, and users without a home."""

import getpass
import os
import runpy
from argparse import ArgumentTypeError
from pathlib import Path

import pytest

from rrm.commands.options import add_study_options
from rrm.commands.sweep import parse
from rrm.doctor.storage import output_folder
from rrm.errors import InputError, OneLineParser
from rrm.paths import check_home, user_path
from rrm.tracking import tracking_uri
from rrm.tracking.address import checked_uri

SPEC = runpy.run_path(str(Path(__file__).parents[1] / "tune_specs" / "perturb_sweep.py"))["SPEC"]


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_a_tilde_behind_an_equals_sign_is_home(home):
    (home / "f.csv").touch()
    args = parse(SPEC, "", ["--storage=~/runs", "--data=~/f.csv"])
    assert (args.storage, args.data) == (f"{home}/runs", f"{home}/f.csv")
    parser = OneLineParser()
    add_study_options(parser, "stability")
    args = parser.parse_args(["--checkpoint=~/c", "--config=~/c.json", "--data=~/f.csv", "--storage=~/runs"])
    assert (args.checkpoint, args.config, args.data) == (f"{home}/c", f"{home}/c.json", f"{home}/f.csv")
    assert output_folder("~/figures") == home / "figures" and not list(home.glob("~"))
    assert checked_uri("sqlite:///~/mlflow.db") == f"sqlite:///{home / 'mlflow.db'}"


@pytest.mark.parametrize(
    ("text", "words"), [("~nobody-of-this-name/x", "in full"), ("", "is empty"), ("/x\udce9", "LC_ALL=C.UTF-8")]
)
def test_paths_that_lead_nowhere(text, words):
    with pytest.raises(ArgumentTypeError, match=words):
        user_path(text)


def test_a_user_without_home_or_name(monkeypatch, tmp_path):
    monkeypatch.setenv("USER", "")
    for name in ("HOME", "LOGNAME", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)

    def unknown(uid):
        raise KeyError(uid)

    monkeypatch.setattr("pwd.getpwuid", unknown)
    for command in (check_home, lambda: parse(SPEC, "", ["--storage", str(tmp_path)]),
                    lambda: tracking_uri(None, tmp_path)):  # fmt: skip
        with pytest.raises(InputError, match="export HOME=FOLDER"):
            command()
    monkeypatch.setenv("HOME", str(tmp_path))
    check_home()
    assert getpass.getuser() == f"user-{os.getuid()}"


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that not even root can write to")
def test_results_go_where_they_can_be_written(tmp_path):
    (tmp_path / "file").touch()
    for folder, words in ((tmp_path / "file", "is not a folder"), ("/proc/x", "/proc cannot be written to")):
        with pytest.raises(ArgumentTypeError, match=words):
            output_folder(str(folder))
        with pytest.raises(InputError, match=f"{words}.* Way out: .*by --storage"):
            parse(SPEC, "", ["--storage", str(folder)])
    assert os.listdir(tmp_path) == ["file"]
