"""Files of strangers: named attacks, each refused by one line and without the memory it asks for, and a short fuzz."""

import gzip
import json
import os
import pickle
import tracemalloc
import zipfile

import numpy as np
import pytest
import torch

from rrm.dynamics import load_result
from rrm.errors import InputError
from rrm.files import read_object
from rrm.models import load_official, read_checkpoint
from rrm.studies import sources
from rrm.tasks import get_task
from rrm.tasks.build import main as build_command
from rrm.tasks.official_files import OfficialDataset, OfficialPart
from rrm.tasks.puzzle_csv import read_puzzles, write_puzzles
from rrm.tasks.puzzle_file import load_puzzles
from rrm.tasks.sudoku_solver import TooHard, count_solutions
from rrm.training.checkpoint import load_tensors
from tests.endurance.fuzz import cases, readers

TASK = get_task("sudoku-4x4")
HUGE = 10**12


def refused(reader, path, *patterns):
    """The reader refuses by one line that names the file and matches, and takes less than 8 MB to find out."""
    tracemalloc.start()
    try:
        with pytest.raises(InputError) as caught:
            reader(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    line = str(caught.value)
    assert "\n" not in line and len(line) < 500 and str(path) in line
    assert all(pattern in line for pattern in patterns), line
    assert peak < 8 << 20, f"{peak} bytes"


def npy(shape: str, descr: str = "'|u1'", body: bytes = b"") -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header + body


def replace_member(path, name, content, **how):
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in members.items():
            if not member.endswith(name):
                archive.writestr(member, data)
        archive.writestr(next(member for member in members if member.endswith(name)), content, **how)


@pytest.fixture
def puzzle_set(tmp_path):
    path = tmp_path / "set.npz"
    TASK.generate(4, seed=0).save(path)
    assert len(load_puzzles(path)) == 4
    return path


def test_npz_with_a_bomb_a_pickle_or_a_member_outside(puzzle_set):
    whole = puzzle_set.read_bytes()
    bomb = bytes(100 << 20)
    replace_member(puzzle_set, "inputs.npy", bomb, compress_type=zipfile.ZIP_DEFLATED)
    del bomb
    refused(load_puzzles, puzzle_set, "its members declare")
    for content, reason in (
        (npy(f"({HUGE}, 16)"), f"declares the shape ({HUGE}, 16)"),
        (npy("(4, 16)", "'|O'", pickle.dumps([print])), "it holds object"),
        (npy("(-4, -16)", body=bytes(64)), "declares the shape (-4, -16)"),
        (npy("(4, 16)", body=bytes([9]) * 64), "a token is none of the 6"),
    ):
        puzzle_set.write_bytes(whole)
        replace_member(puzzle_set, "inputs.npy", content)
        refused(load_puzzles, puzzle_set, reason)
    puzzle_set.write_bytes(whole)
    replace_member(puzzle_set, "inputs.npy", b"", compress_type=zipfile.ZIP_BZIP2)
    refused(load_puzzles, puzzle_set, "encrypted or odd")
    puzzle_set.write_bytes(whole)
    with zipfile.ZipFile(puzzle_set, "a") as archive:
        archive.writestr("../../stolen", b"x")
    refused(load_puzzles, puzzle_set, "'../../stolen' lies outside of it")


def test_a_zip_directory_beyond_all_bounds(puzzle_set):
    content = puzzle_set.read_bytes()
    puzzle_set.write_bytes(content[:-10] + (1 << 30).to_bytes(4, "little") + content[-6:])
    refused(load_puzzles, puzzle_set, f"its directory has {1 << 30} bytes")


def test_npy_folders_that_claim_too_much_or_point_elsewhere(tmp_path):
    OfficialDataset({"train": OfficialPart.of(TASK.generate(2, seed=0), 1)}).write(tmp_path / "data")
    folder = tmp_path / "data" / "train"

    def read(path):
        return OfficialPart.read(folder)

    inputs, description = folder / "all__inputs.npy", folder / "dataset.json"
    whole, metadata = inputs.read_bytes(), json.loads(description.read_text())
    for content in (
        npy(f"({HUGE}, {HUGE})"),
        npy("(2, 16)", "'|O'"),
        npy("(" * 300),
        npy("(2, 16)\0"),
        npy("(2,16)")[:9],
    ):
        inputs.write_bytes(content)
        refused(read, inputs, "not a readable .npy array", "build the folder again")
    inputs.write_bytes(whole)
    for change, reason in (
        ({"sets": ["../../x"]}, "sets is ['../../x']"),
        ({"vocab_size": 10**30}, "vocab_size is 1000"),
        ({"num_puzzle_identifiers": "1"}, "num_puzzle_identifiers is '1'"),
    ):
        description.write_text(json.dumps(metadata | change))
        refused(read, description, reason)
    description.write_text(" " * 100_000)
    refused(read, description, "it has 100000 bytes, at most 65536 are read")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 100_000, "JSON object (maximum recursion depth exceeded"),
        ('{"a": ' + "9" * 5000 + "}", "4300 digits"),
        ("[1]", "it holds a list"),
        ("{", "Expecting"),
        ('{"a": "\x00"}', "Invalid control character"),
    ],
)
def test_json_that_parsers_stumble_over(tmp_path, text, reason):
    path = tmp_path / "x.json"
    path.write_text(text)
    refused(lambda path: read_object(path, "restore it"), path, reason, "restore it")


def test_what_people_get_in_place_of_a_file_is_named(tmp_path):
    whole = b'{"a": 1}'
    for content, found, way_out in (
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a", "a pointer of Git LFS", "git lfs pull"),
        (b"\n<!DOCTYPE html>\n<html lang=en>", "a web page", "download the file itself"),
        (gzip.compress(whole), "compressed by gzip", "unpack it"),
    ):
        path = tmp_path / "x.json"
        path.write_bytes(content)
        for read in (read_checkpoint, read_puzzles, lambda path: read_object(path, "do without")):
            refused(read, path, found, way_out)
    os.mkfifo(tmp_path / "pipe")
    for read in (load_result, read_puzzles, lambda path: read_object(path, "do without")):
        refused(read, tmp_path / "pipe", "a pipe or a device")
    path.write_bytes(b"\xef\xbb\xbf" + whole)
    assert read_object(path, "do without") == {"a": 1}


def test_csv_with_a_gigabyte_in_a_line_or_odd_values(tmp_path):
    path = tmp_path / "p.csv"
    write_puzzles(path, TASK.generate(2, seed=0))
    whole = path.read_text()
    for start in ("", whole):
        path.write_text(start)
        with open(path, "r+b") as file:
            file.truncate(1 << 30)  # a hole: NULs that take no room
        refused(read_puzzles, path)
    for old, new, reason in (
        ("generated", "a\0b", "line 2: source 'a\\x00b'"),
        ("generated", "x" * 101, "line 2: source 'xxx"),
        ("generated", "x" * 140_000, "field larger than field limit"),
        (",\n", ",inf\n", "line 2: rating 'inf' is no finite number"),
        (",\n", ",1e39\n", "line 2: rating '1e39'"),
        ("rating", ",".join("x" * 90_000), "line 1: no header"),
    ):
        path.write_text(whole.replace(old, new, 1))
        refused(read_puzzles, path, reason)


def test_counting_solutions_stops():
    box = get_task("sudoku-16x16").box
    with pytest.raises(TooHard, match="puzzle 0 is not solved after"):
        count_solutions(np.ones((1, 256), np.uint8), box, most_guesses=50)
    assert count_solutions(np.ones((1, 16), np.uint8), TASK.box, most_guesses=1000) == [2]


def tensors(header, body=b"", length=None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + body


@pytest.mark.parametrize(
    "content",
    [
        tensors({}, length=1 << 60),
        tensors({}, length=1 << 20),
        tensors({"a": {"dtype": "F32", "shape": [HUGE], "data_offsets": [0, 4 * HUGE]}}),
        tensors({"a": {"dtype": "F32", "shape": [HUGE, HUGE], "data_offsets": [0, 4]}}, bytes(4)),
        tensors({"a": {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}}, bytes(4)),
        tensors({name: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} for name in "ab"}, bytes(4)),
        tensors(b'{"a":' + b"[" * 10_000),
        b"",
        bytes(100),
    ],
)
def test_safetensors_headers(tmp_path, content):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    for reader in (load_tensors, load_result, read_checkpoint):
        refused(reader, path)


class Reduced:
    """Pickles as a call of `function`, which torch.load allows for some."""

    def __init__(self, function, *arguments):
        self.called = function, arguments

    def __reduce__(self):
        return self.called


def test_torch_files_that_ask_for_calls_or_memory(tmp_path):
    path = tmp_path / "x.pt"
    one, whole = torch.ones(1), torch.ones(9999)
    for content, reason in (
        ({"a": Reduced(bytearray, HUGE)}, "asks to call '__builtin__.bytearray'"),
        ({"a": Reduced(torch.UntypedStorage, HUGE)}, "asks to call 'torch.storage.UntypedStorage'"),
        ({((), ()): one}, "a dictionary with a tuple as key"),
        ({"a": one.expand(HUGE)}, f"a tensor of shape ({HUGE},) reaches beyond its storage"),
        ({f"core.{i}": whole for i in range(200)}, "far more than it holds"),
        (np.ones(3), "but one object: it asks to call 'numpy"),
        ({"a": {1, 2}}, "asks to call '__builtin__.set'"),
    ):  # fmt: skip
        torch.save(content, path)
        refused(read_checkpoint, path, reason)


def test_torch_files_with_storages_that_are_not_there(tmp_path):
    path = tmp_path / "x.pt"
    torch.save({"a": torch.ones(200)}, path)
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        program = archive.read("x/data.pkl")
    assert program.count(b"K\xc8") == 2
    for old, reason in (
        (b"K\xc8t", "declares 255 values, its member has 800 bytes"),
        (b"K\xc8\x85", "beyond its storage"),
    ):
        replace_member(path, "data.pkl", program.replace(old, old.replace(b"\xc8", b"\xff")))
        refused(read_checkpoint, path, reason)
        path.write_bytes(whole)
    replace_member(path, "data/0", bytes(800), compress_type=zipfile.ZIP_DEFLATED)
    refused(read_checkpoint, path, "is compressed")
    path.write_bytes(whole)
    replace_member(path, "data/0", b"")
    refused(read_checkpoint, path, "its member has 0 bytes")
    torch.save({"a": torch.ones(2)}, path, _use_new_zipfile_serialization=False)
    refused(read_checkpoint, path, "of torch.save before PyTorch 1.6", "load it by torch.load and save it again")


def test_torch_files_read_as_torch_reads_them(tmp_path):
    weights = torch.nn.Linear(3, 4).state_dict()
    whole = torch.arange(100.0).view(10, 10)
    content = {
        "weights": weights, "half": torch.randn(3).bfloat16(), "view": whole[2:5, 3:].t(), "whole": whole,
        "none": torch.empty(0, 3), "scalar": torch.tensor(3), "true": torch.tensor([True, False]),
        "parameter": torch.nn.Parameter(torch.ones(2)), "plain": [1, 2**70, 1.5, "x", None, True, (1, 2, 3, 4)],
    }  # fmt: skip
    from rrm.models.torch_file import read_torch_file

    for protocol in (2, 4):
        torch.save(content, tmp_path / "x.pt", pickle_protocol=protocol)
        found = read_torch_file(tmp_path / "x.pt", "file", "do without")
        assert found.keys() == content.keys() and found["plain"] == content["plain"]
        for name, value in {**content, **weights}.items():
            if isinstance(value, torch.Tensor):
                same = found["weights"].get(name, found.get(name))
                assert same.dtype == value.dtype and torch.equal(same, value), name


def test_a_configuration_larger_than_its_weights(tmp_path):
    weights = {key: value for key, value in readers.public_weights().items()}
    for change, reason in (
        ({"hidden_size": 1 << 16}, "have shape"),
        ({"L_layers": 100}, "lack the key"),
        ({"H_cycles": 10**9}, "'H_cycles' is 1000000000: allowed are 1 to 4096"),
        ({"hidden_size": "16"}, "'hidden_size' is '16': it must be of type"),
        ({"num_heads": 0}, "'num_heads' is 0"),
        ({"expansion": float("nan")}, "'expansion' is nan"),
    ):
        with pytest.raises(InputError, match=reason):
            load_official(weights, readers.CONFIG | change)


def test_yaml_configurations(tmp_path):
    readers.make_yaml(tmp_path)
    path = tmp_path / "all_config.yaml"
    whole = path.read_text()
    settings = sources.read_config(path)
    assert (settings["seq_len"], settings["hidden_size"]) == (16, 16) and "lr" not in settings
    readers.use_public(tmp_path)
    for text, reason in (
        (f"!!python/object/apply:pathlib.Path.touch ['{tmp_path / 'stolen'}']", "line 1 has a tag or an alias"),
        ("a: &a [x, x]\n" + "".join(f"b{i}: &b{i} [*a, *a]\n" for i in range(30)), "line 2 has a tag or an alias"),
        ("{" * 60_000, "nested deeper than 20 levels"),
        ("- " * 30_000, "nested deeper than 20 levels"),
        ("a: {b: [c", "not a readable configuration in YAML"),
        ("- 1", "it is no mapping"),
        (whole + " " * 100_000, "bytes, at most 65536 are read"),
    ):
        path.write_text(text)
        refused(sources.read_config, path, reason)
    assert not (tmp_path / "stolen").exists()


def test_commands_end_with_one_line_and_code_2(tmp_path, capsys):
    path = tmp_path / "p.csv"
    path.write_text("source,question,answer,rating\n" + "x" * 3_000_000)
    with pytest.raises(SystemExit) as stop:
        build_command([str(path), str(tmp_path / "out")])
    error = capsys.readouterr().err
    assert stop.value.code == 2 and error.startswith(f"error: {path}") and error.count("\n") == 1


@pytest.mark.parametrize("reader", readers.READERS)
def test_a_short_fuzz(reader):
    complaints = []
    outcomes, _ = cases.fuzz(reader, 40, seed=1, show=complaints.append)
    assert not complaints and outcomes.total() == 40 and outcomes["refused"]
