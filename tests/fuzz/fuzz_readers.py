"""Damaged and hostile files for every reader: each must be accepted and sound, or refused by one clear line.

    python tests/fuzz/fuzz_readers.py [--inputs 1000] [--seed 0] [--reader NAME ...] [--case NUMBER]

Case i of a reader is the same for the same seed. Cases run in a child process with ROOM bytes of memory beyond its
start and PATIENCE seconds of CPU for each case; a child that dies or stalls is replaced, and its case counts as a crash
or a hang. A refusal for want of memory counts as a crash too: sizes are to be bounded before anything is allocated.
Accepted content is used (puzzles verified, models run), and what fails there is a crash. `--case` runs one case and
shows it.
"""

import argparse
import copy
import io
import json
import multiprocessing
import os
import random
import re
import resource
import shutil
import sys
import tempfile
import traceback
import warnings
import zipfile
from argparse import Namespace
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from rrm.dynamics.result import LyapunovResult, Settings, load_result, save_result
from rrm.dynamics.shards import load_rows, save_rows
from rrm.errors import InputError
from rrm.jobs.folder import JobFolder, read_json
from rrm.models import build, describe, export_official, variant
from rrm.studies import sources
from rrm.tasks import PuzzleSet, get_task
from rrm.tasks.official_files import OfficialDataset, OfficialPart
from rrm.tasks.puzzle_csv import count_rows, read_puzzles, write_puzzles
from rrm.training import checkpoint

ROOM = 512 << 20
PATIENCE = 20.0
LONGEST_LINE = 700
OUT_OF_MEMORY = re.compile(r"MemoryError|allocat|memory", re.IGNORECASE)
V1 = Path(__file__).parents[1] / "dynamics" / "files" / "lyapunov-v1.safetensors"


# --- mutations -------------------------------------------------------------------------------------------------------

NUMBERS = [
    0, 1, -1, 2, 3, 127, 128, 255, 256, 65535, 65536, 2**31 - 1, 2**31, -(2**31), 2**32, 2**63 - 1, 2**63, 2**64,
    10**12, 10**30, 10**4000, 0.5, -0.0, 1e300, 1e-300, float("nan"), float("inf"), float("-inf"),
]  # fmt: skip
VALUES = [
    *NUMBERS, None, True, False, "", "x", "..", "../../x", "/etc/passwd", "nan", "1e999", "\0", "\n", "\ud800",
    "é" * 300, [], {}, [[]], [1, "a", None], {"a": {"b": []}}, "all", "float32", "rope", "none", "bfloat16",
]  # fmt: skip


def damage_bytes(rng: random.Random, content: bytes, others: list[bytes]) -> bytes:
    """One to a few random changes of a byte string."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        if not data:
            return bytes(data)
        at = rng.randrange(len(data))
        # Headers and directories are at the ends.
        at = min(at, rng.choice((len(data) - 1, 8, 64, 256))) if rng.random() < 0.5 else at
        at = len(data) - 1 - at if rng.random() < 0.25 else at
        match rng.randrange(8):
            case 0:
                data[at] ^= 1 << rng.randrange(8)
            case 1:
                data[at] = rng.choice((0, 1, 9, 10, 13, 34, 44, 45, 48, 57, 91, 123, 127, 128, 255))
            case 2:
                del data[at:]
            case 3:
                del data[at : at + rng.choice((1, 2, 4, 8, 64, 1000))]
            case 4:
                piece = data[at : at + rng.choice((1, 2, 8, 64, 1000))]
                data[at:at] = piece * rng.choice((1, 2, 100))
            case 5:
                other = rng.choice(others)
                data[at:] = other[rng.randrange(len(other) + 1) :]
            case 6:
                width = rng.choice((1, 2, 4, 8))
                number = rng.choice((0, 1, 2**7, 2**15, 2**31, 2**31 - 1, 2**32 - 1, 2**60, 2**63, 2**64 - 1))
                data[at : at + width] = (number % 256**width).to_bytes(width, rng.choice(("little", "big")))
            case 7:
                data[at:at] = rng.randbytes(rng.choice((1, 4, 100)))
    return bytes(data)


def damage_json(rng: random.Random, content):
    """A copy of parsed JSON with a value swapped, dropped, added, renamed or nested."""
    content = copy.deepcopy(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        holder = content
        while rng.random() < 0.8:
            inside = list(holder.values()) if isinstance(holder, dict) else list(holder)
            inside = [value for value in inside if isinstance(value, (dict, list)) and value]
            if not inside:
                break
            holder = rng.choice(inside)
        if not holder:
            continue
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        key, value = rng.choice(keys), copy.deepcopy(rng.choice(VALUES))
        match rng.randrange(7):
            case 0 | 1 | 2:
                holder[key] = value
            case 3:
                del holder[key]
            case 4:
                if isinstance(holder, dict):
                    holder[rng.choice(("../../x", "", "name", "extra", "__class__", "H_cycles", "a\nb"))] = value
                else:
                    holder.insert(rng.randrange(len(holder) + 1), value)
            case 5:
                if isinstance(holder[key], (int, float)) and not isinstance(holder[key], bool):
                    holder[key] = rng.choice((holder[key] + 1, -holder[key], holder[key] * 10**6, str(holder[key])))
            case 6:
                for _ in range(rng.choice((1, 3, 50))):
                    holder[key] = rng.choice(([holder[key]], {"a": holder[key]}))
    return content


def json_bytes(rng: random.Random, content) -> bytes:
    """JSON text of a damaged copy; now and then with a key twice, or nested deeper than parsers go."""
    text = json.dumps(damage_json(rng, content), indent=rng.choice((None, 1)))
    match rng.randrange(12):
        case 0:
            text = text.replace("{", '{"' + rng.choice(re.findall(r'"(\w+)":', text) or ["a"]) + '": null, ', 1)
        case 1:
            depth = rng.choice((100, 5000, 200_000))
            text = rng.choice(("[" * depth, '{"a":' * depth, "[" * depth + "]" * depth))
        case 2:
            text = re.sub(r"\d+", lambda found: rng.choice((found[0], "9" * 5000, "-0", "1e999")), text)
    return text.encode("utf-8", "surrogatepass")


def npy_parts(content: bytes) -> tuple[str, bytes]:
    length = int.from_bytes(content[8:10], "little")
    return content[10 : 10 + length].decode("latin1"), content[10 + length :]


def damage_npy(rng: random.Random, content: bytes, others: list[bytes]) -> bytes:
    """An npy file with another header, other numbers or random damage."""
    way = rng.randrange(4)
    if way == 0:
        return damage_bytes(rng, content, others)
    header, body = npy_parts(content)
    if way == 1:
        shapes = [
            "()", "(0,)", "(1,)", "(-1,)", "(3, -3)", "(1000000000000,)", "(0, 4294967296, 4294967296)", "(True,)",
            "(1e3,)", f"({10**40},)", "(2, 8)", "(" * 150 + ")" * 150, "((1,),)", "None", "(4294967296, 4294967296)",
        ]  # fmt: skip
        header = re.sub(r"'shape': \([^)]*\)", lambda _: f"'shape': {rng.choice(shapes)}", header)
    elif way == 2:
        types = [
            "'|O'", "'<f8'", "'|V8'", "'<U1000000000'", "'|S0'", "'<U0'", "'>i8'", "'<c16'", "'<M8[s]'", "'|b1'",
            "'<i2'", "[('a', '|O')]", "'O,O'", "None", "__import__('os')", "'i4,(1000000000,1000000000)i4'",
        ]  # fmt: skip
        header = re.sub(r"'descr': '[^']*'", lambda _: f"'descr': {rng.choice(types)}", header)
        header = header.replace("False", rng.choice(("False", "True", "None")))
    elif body:
        width = rng.choice((1, 2, 4, 8))
        at = rng.randrange(max(1, len(body) // width)) * width
        number = rng.choice((0, 1, 2, 5, 6, 17, 127, 128, 255, 2**31, 2**63, 2**64 - 1, 0x7FC00000, 0x7F800000))
        body = body[:at] + (number % 256**width).to_bytes(width, "little") + body[at + width :]
    text = header.encode("latin1", "replace")
    length = rng.choice((0, 65535, 10)) if rng.random() < 0.05 else len(text)
    return (
        b"\x93NUMPY" + bytes((rng.choice((1, 1, 1, 1, 1, 1, 2, 3, 9)), 0)) + length.to_bytes(2, "little") + text + body
    )


def rewrite_zip(rng: random.Random, content: bytes, change: Callable[[str, bytes], bytes]) -> bytes:
    """A whole archive, its checksums right, in which one member went through `change(name, content)`."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
        method = archive.infolist()[0].compress_type
    chosen = rng.randrange(len(members))
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", method) as archive:
        warnings.simplefilter("ignore")
        for number, (name, data) in enumerate(members):
            if number == chosen:
                match rng.randrange(12):
                    case 0:
                        name = rng.choice(("../" + name, "/" + name, name + "x", name.upper(), "a\\..\\..\\" + name))
                    case 1:
                        continue
                    case 2:
                        archive.writestr(name, data)
                    case 3:
                        archive.writestr(name, data, compress_type=rng.choice((8, 12, 14)))
                        continue
                    case 4:
                        archive.writestr(name, bytes(rng.choice((10**3, 10**6, 10**8))), compress_type=8)
                        continue
                    case _:
                        data = change(name, data)
            archive.writestr(name, data)
    whole = bytearray(buffer.getvalue())
    if rng.random() < 0.2:
        # The sizes in the directory entry of a member.
        at = whole.rfind(b"PK\1\2", 0, rng.randrange(1, len(whole)))
        if at >= 0:
            field = rng.choice((8, 10, 20, 24, 42))
            whole[at + field : at + field + 4] = rng.choice((0, 1, 2**20, 2**31, 2**32 - 1)).to_bytes(4, "little")
    return bytes(whole)


def damage_npz(rng: random.Random, content: bytes, others: list[bytes]) -> bytes:
    if rng.random() < 0.3:
        return damage_bytes(rng, content, others)
    return rewrite_zip(rng, content, lambda name, data: damage_npy(rng, data, others))


def damage_torch(rng: random.Random, content: bytes, others: list[bytes]) -> bytes:
    """A torch file whose pickle, storages or directory are changed."""
    if rng.random() < 0.3:
        return damage_bytes(rng, content, others)

    def change(name: str, data: bytes) -> bytes:
        if name.endswith("data.pkl"):
            if rng.random() < 0.5:
                names = (
                    b"torch FloatStorage",
                    b"torch LongStorage",
                    b"torch Tensor",
                    b"os system",
                    b"builtins bytearray",
                )
                names = tuple(pair.replace(b" ", b"\n") for pair in names)
                found = list(re.finditer(rb"c([\w.]+\n\w+)\n", data))
                hit = rng.choice(found)
                return data[: hit.start(1)] + rng.choice(names) + data[hit.end(1) :]
            # Small numbers are lengths, offsets, shapes and strides.
            hits = [at for at in range(len(data) - 2) if data[at : at + 1] in (b"K", b"M", b"J")]
            at = rng.choice(hits)
            longest = b"\x8a\x08" + b"\xff" * 7 + b"\x7f"
            number = rng.choice(
                (b"K\x00", b"K\x01", b"K\xff", b"J\xff\xff\xff\x7f", b"J\0\0\0\x80", b"N", b")", longest)
            )
            return data[:at] + number + data[at + {75: 2, 77: 3, 74: 5}[data[at]] :]
        return damage_bytes(rng, data, others)

    return rewrite_zip(rng, content, change)


def damage_tensors(rng: random.Random, content: bytes, others: list[bytes]) -> bytes:
    """A safetensors file with another header, whose length is right more often than not, or random damage."""
    way = rng.randrange(4)
    length = int.from_bytes(content[:8], "little")
    header, body = content[8 : 8 + length], content[8 + length :]
    if way == 0:
        return damage_bytes(rng, content, others)
    if way == 1 and body:
        width = rng.choice((1, 4, 8))
        at = rng.randrange(max(1, len(body) // width)) * width
        number = rng.choice((0, 1, 2, 255, 2**31, 2**63, 0x7FC00000, 0x7F800000, 0x7FF8000000000000))
        return content[: 8 + length] + body[:at] + (number % 256**width).to_bytes(width, "little") + body[at + width :]
    parsed = json.loads(header)
    inner = parsed.get("__metadata__", {}).get("rrm")
    if way == 2 and inner:
        parsed["__metadata__"]["rrm"] = json_bytes(rng, json.loads(inner)).decode("utf-8", "replace")
        header = json.dumps(parsed).encode()
    else:
        header = json_bytes(rng, parsed)
        kinds = [b"F32", b"F64", b"BF16", b"I64", b"BOOL", b"F8_E4M3", b"U8", b"C64", b"F4"]
        if rng.random() < 0.3:
            old = rng.choice(kinds)
            header = header.replace(b'"' + old + b'"', b'"' + rng.choice(kinds) + b'"', rng.choice((1, -1)))
    size = rng.choice((0, 2**60, 2**63, 2**31, len(header) + 1)) if rng.random() < 0.1 else len(header)
    return size.to_bytes(8, "little") + header + body


def damage_csv(rng: random.Random, content: bytes, others: list[bytes]) -> bytes:
    """A CSV file with cells, rows or the header changed, or random damage."""
    if rng.random() < 0.3:
        return damage_bytes(rng, content, others)
    rows = [line.split(",") for line in content.decode().splitlines()]
    for _ in range(rng.choice((1, 1, 2, 5))):
        row = rng.choice(rows)
        column = rng.randrange(len(row))
        texts = [
            "", "nan", "inf", "-inf", "1e999", "-5", "9" * 400, "1_0", "\0", '"', '""', '"a\nb"', "é", "x" * 200_000,
            "." * 16, "1" * 16, "S" * 36, "0" * 256, "." * 256, "\r", "a,b", "../../x", "\ufeff", "１２３４" * 4,
        ]  # fmt: skip
        match rng.randrange(7):
            case 0 | 1 | 2:
                row[column] = rng.choice(texts)
            case 3:
                if row[column]:
                    at = rng.randrange(len(row[column]))
                    row[column] = row[column][:at] + rng.choice("0123456789.ABGSo# -") + row[column][at + 1 :]
            case 4:
                rows.insert(rng.randrange(len(rows) + 1), list(rng.choice(rows)))
            case 5:
                row.append("1") if rng.random() < 0.5 else row.pop()
                if not row:
                    row.append("")
            case 6:
                row[column] = rng.choice(rng.choice(rows))
    ending = rng.choice(("\n", "\n", "\n", "\r\n", "\r"))
    return ending.join(",".join(row) for row in rows).encode("utf-8", "surrogatepass")


YAMLS = [
    "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n", "!!python/object/apply:os.system ['touch stolen']\n", "- 1\n",
    "? [a, b]\n: c\n", "x: !!binary x\n", "x: !!int ''\n", "x: !!timestamp x\n", "{" * 1000, "- " * 3000, "a: b: c\n",
    "x: 2024-99-99\n", "x: 1:99:99\n", "x: 0x" + "f" * 9000 + "\n", "<<: 5\n", "%YAML 9.9\n---\na: 1\n",
    "a: 1\n---\nb: 2\n",
]  # fmt: skip


def damage_yaml(rng: random.Random, content: bytes, others: list[bytes]) -> bytes:
    """A YAML file with values or lines changed, a foreign construct added, or random damage."""
    lines = content.decode().splitlines(keepends=True)
    at = rng.randrange(len(lines))
    match rng.randrange(4):
        case 0:
            return damage_bytes(rng, content, others)
        case 1:
            lines.insert(at, rng.choice(YAMLS))
        case 2:
            key = lines[at].partition(":")[0]
            value = rng.choice(VALUES)
            lines[at] = f"{key}: {json.dumps(value) if isinstance(value, (dict, list)) else value}\n"
        case 3:
            if rng.random() < 0.5:
                del lines[at]
            else:
                lines[at] = lines[at].replace(
                    ": ", rng.choice((": !!str ", ": &x ", ": *x ", ":\t", ": - ", ": |\n  "))
                )
    return "".join(lines).encode("utf-8", "surrogatepass")


def damage_object(rng: random.Random, content: bytes, others: list[bytes]) -> bytes:
    return damage_bytes(rng, content, others) if rng.random() < 0.3 else json_bytes(rng, json.loads(content))


DAMAGE = {
    ".csv": damage_csv, ".npy": damage_npy, ".npz": damage_npz, ".pt": damage_torch, ".safetensors": damage_tensors,
    ".json": damage_object, ".yaml": damage_yaml,
}  # fmt: skip


# --- readers: whole files, and what is done with them ----------------------------------------------------------------


def model_of(name: str):
    torch.manual_seed(0)
    shape = {
        "vocab_size": 6,
        "seq_len": 16,
        "hidden_size": 16,
        "num_heads": 2,
        "H_cycles": 1,
        "L_cycles": 1,
        "L_layers": 1,
    }
    return build(variant(name, **shape, puzzle_emb_ndim=16, puzzle_emb_len=1))


def use_model(model) -> None:
    """Run a model for a segment: its sizes hold together."""
    config = model.config
    rows = torch.zeros(1, config.seq_len, dtype=torch.long)
    with torch.no_grad():
        state = model.segment(model.initial_state(1), model.embed(rows, torch.zeros(1, dtype=torch.long)))
        readout = model.readout(state)
    assert readout.logits.shape == (1, config.seq_len, config.vocab_size)


def use_set(puzzles: PuzzleSet) -> None:
    """What every later step takes for granted."""
    task = get_task(puzzles.task)
    assert puzzles.inputs.shape == puzzles.labels.shape == (len(puzzles), task.seq_len) and len(puzzles)
    assert max(puzzles.inputs.max(), puzzles.labels.max()) < task.vocab_size
    assert len(puzzles.puzzle_identifiers) == len(puzzles.rating) == len(puzzles.source) == len(puzzles)
    assert len(puzzles.content_hash()) == 64
    assert len(task.score(puzzles.inputs, puzzles.labels, puzzles.labels)["exact"]) == len(puzzles)


def use_puzzles(puzzles: PuzzleSet) -> None:
    """That, and the rules of the puzzles themselves."""
    use_set(puzzles)
    task = get_task(puzzles.task)
    task.check(puzzles, lambda i: f"accepted puzzle {i}")
    assert not task.score(puzzles.inputs, puzzles.labels, puzzles.labels)["violations"].any()


def arguments(**named) -> Namespace:
    return Namespace(
        **{"run": None, "count": None, "seed": 0, "segments": None, "weights": "best", "config": None} | named
    )


def make_csv(folder: Path) -> None:
    puzzles = get_task("sudoku-4x4").generate(12, seed=0)
    puzzles.rating[:4] = 1, 2.5, 0, 30
    write_puzzles(folder / "sudoku.csv", puzzles)
    write_puzzles(folder / "maze.csv", get_task("maze-6x6").generate(8, seed=0))
    write_puzzles(folder / "large.csv", get_task("sudoku-9x9").generate(6, seed=0))


def use_csv(folder: Path) -> None:
    accepted = []
    for path in sorted(folder.glob("*.csv")):
        accepted.append(read_puzzles(path))
        assert count_rows(path) == len(accepted[-1])
    for puzzles in accepted:
        use_puzzles(puzzles)


def make_npy(folder: Path) -> None:
    parts = {
        name: OfficialPart.of(get_task("sudoku-4x4").generate(6, seed=i), 2) for i, name in enumerate(("train", "test"))
    }
    OfficialDataset(parts).write(folder / "data")


def use_npy(folder: Path) -> None:
    dataset = OfficialDataset.read(folder / "data")
    for part in dataset.parts.values():
        use_puzzles(part.puzzles(part.originals))


def make_npz(folder: Path) -> None:
    get_task("sudoku-4x4").generate(8, seed=0).save(folder / "set.npz")


def use_npz(folder: Path) -> None:
    # Its labels need not be answers: a set is what rrm saved, and tests save predictions as labels.
    use_set(sources.find_puzzles(arguments(data=str(folder / "set.npz")), folder, ""))


CONFIG = {
    "batch_size": 8, "vocab_size": 6, "seq_len": 16, "num_puzzle_identifiers": 1, "puzzle_emb_ndim": 16,
    "hidden_size": 16, "H_cycles": 1, "L_cycles": 1, "L_layers": 1, "num_heads": 2, "expansion": 4.0,
    "pos_encodings": "rope",
    "halt_max_steps": 4, "halt_exploration_prob": 0.1, "forward_dtype": "float32", "mlp_t": False, "H_layers": 0,
    "puzzle_emb_len": 1, "no_ACT_continue": True, "loss": {"name": "losses@ACTLossHead"}, "name": "trm",
}  # fmt: skip


def public_weights() -> dict:
    return {f"_orig_mod.model.{key}": value for key, value in export_official(model_of("trm_att")).items()}


def make_torch(folder: Path) -> None:
    weights = public_weights()
    half = {key: value.bfloat16() for key, value in weights.items()}
    moments = {"state": {0: {"exp_avg": torch.ones(3), "step": torch.tensor(2.0)}}, "param_groups": [{"lr": 1e-4}]}
    torch.save(weights, folder / "bare.pt")
    torch.save({"model_state": half, "optimizer": moments, "step": 7, "config": {"arch": "trm"}}, folder / "nested.pt")
    (folder / "config.json").write_text(json.dumps(CONFIG))


def make_public_tensors(folder: Path) -> None:
    checkpoint.save_tensors(public_weights(), folder / "ema.safetensors")
    (folder / "config.json").write_text(json.dumps(CONFIG))


def make_config(folder: Path) -> None:
    torch.save(public_weights(), folder / "weights.bin")
    (folder / "config.json").write_text(json.dumps(CONFIG))


def make_yaml(folder: Path) -> None:
    torch.save(public_weights(), folder / "weights.bin")
    shape = {key: CONFIG[key] for key in ("vocab_size", "seq_len", "num_puzzle_identifiers")}
    arch = {key: value for key, value in CONFIG.items() if key not in shape and not isinstance(value, dict)}
    lines = ["arch:", *(f"  {key}: {json.dumps(value)}" for key, value in arch.items())]
    lines += ["lr: 0.0001", "data_paths: ['data/sudoku']", "eval_save_outputs: []"]
    lines += [f"{key}: {value}" for key, value in shape.items()]
    (folder / "all_config.yaml").write_text("\n".join(lines) + "\n")


def use_public(folder: Path) -> None:
    config = next(path for path in sorted(folder.iterdir()) if "config" in path.name)
    found = []
    for path in sorted(folder.iterdir()):
        if path != config:
            found.append(sources.find_model(arguments(checkpoint=str(path), config=str(config)), folder, ""))
    for source in found:
        assert source.segments >= 1 and len(source.weights_hash) == 64
        use_model(source.model)


def make_folder(folder: Path) -> None:
    target = folder / "checkpoint"
    target.mkdir()
    model = model_of("trm_mlp")
    for name in checkpoint.WEIGHTS:
        checkpoint.save_tensors(model.state_dict(), target / f"{name}.safetensors")
    entry = {"step": 4, "segments": 3, "model": describe(model)}
    checkpoint.write_meta(target, {"recipe": {"lr": 1e-3}, "best": entry, "final": entry, "task": "sudoku-4x4"})


def use_folder(folder: Path) -> None:
    found = [
        sources.find_model(arguments(checkpoint=str(folder / "checkpoint"), weights=which), folder, "")
        for which in checkpoint.WEIGHTS
    ]
    for source in found:
        assert source.segments >= 1
        use_model(source.model)


def make_result(folder: Path) -> None:
    shutil.copy(V1, folder / "old.safetensors")
    rows, k, segments = 6, 2, 3
    grid, rng = (rows, segments), np.random.default_rng(0)
    settings = Settings(k, segments, 2, 0, "float32", json.dumps({"family": "trm"}), "sudoku-4x4", "c", "d")
    floats = {name: rng.random(grid, np.float32) for name in ("drift_H", "drift_L", "q_halt", "margin", "entropy")}
    result = LyapunovResult(
        settings, np.arange(rows), *(rng.random((rows, k)) for _ in range(2)),
        solved=np.ones(rows, bool), cells=np.ones(rows, np.float32), violations=np.zeros(rows, np.int32),
        lambda_segments=rng.random((rows, segments, k), np.float32), solved_at=np.ones(grid, bool),
        violations_at=np.zeros(grid, np.int32), halting=np.full(rows, 2, np.int32), finite=np.ones(rows, bool),
        floored=np.zeros(rows, np.int32), local=rng.random((rows, 6, k), np.float32), **floats,
        provenance={"run": "abc"},
    )  # fmt: skip
    save_result(result, folder / "new.safetensors")


def use_result(folder: Path) -> None:
    found = [load_result(folder / name, most) for name in ("old.safetensors", "new.safetensors") for most in (None, 4)]
    for result in found:
        assert isinstance(repr(result.settings), str) and len(result.lambda_per_call) == len(result)
        assert result.drift_H.shape == (len(result), result.settings.segments)
        assert result.solved.mean() <= 1 and result.cells.max(initial=0) <= 1


@dataclass(frozen=True)
class Rows:
    """A result by puzzle as `rrm.dynamics.shards` takes it."""

    segments: int
    sigma: float
    where: str
    kicks: np.ndarray
    index: np.ndarray
    solved: np.ndarray
    drift_H: np.ndarray

    row_axes: ClassVar[dict[str, int]] = {"index": 0, "solved": 1, "drift_H": 0}


def make_shard(folder: Path) -> None:
    grid = np.ones((5, 4), np.float32)
    shard = Rows(4, 0.5, "H", np.array([0.1, 0.2]), np.arange(5), np.ones((2, 5, 4), bool), grid)
    save_rows(shard, folder / "shard-000000.npz")


def use_shard(folder: Path) -> None:
    shard = load_rows(Rows, folder / "shard-000000.npz")
    assert type(shard.segments) is int and type(shard.sigma) in (int, float) and type(shard.where) is str
    assert shard.solved.shape[1] == len(shard.index) == len(shard.drift_H) and shard.where.encode() is not None
    assert np.ndim(shard.solved.mean()) == np.ndim(shard.kicks.mean()) == 0


def make_job(folder: Path) -> None:
    record = {"arguments": {"data": None, "k": 2, "sigma": [0.1, 0.2]}, "data_hash": "d", "settings": {"batch": 4}}
    (folder / "study.json").write_text(json.dumps(record))
    (folder / "scores.json").write_text(json.dumps({"trial-0": {"best": {"exact": 0.5, "seconds": 1.5}}}))


def use_job(folder: Path) -> None:
    record = {"arguments": {"data": None, "k": 2, "sigma": [0.1, 0.2]}, "data_hash": "d"}
    job = JobFolder(folder, "study")
    job.check(resume=True)
    job.start(record)
    assert job.read("study")["data_hash"] == "d" and isinstance(read_json(folder, "scores"), dict)


READERS = {
    "puzzle csv": (make_csv, use_csv, ".csv"),
    "npy folder": (make_npy, use_npy, None),
    "npz puzzle set": (make_npz, use_npz, None),
    "torch checkpoint": (make_torch, use_public, ".pt"),
    "safetensors checkpoint": (make_public_tensors, use_public, ".safetensors"),
    "json config": (make_config, use_public, ".json"),
    "yaml config": (make_yaml, use_public, ".yaml"),
    "checkpoint folder": (make_folder, use_folder, None),
    "result file v1, v2": (make_result, use_result, None),
    "shard": (make_shard, use_shard, None),
    "job folder": (make_job, use_job, None),
}


# --- running ---------------------------------------------------------------------------------------------------------


def write_case(name: str, seed: int, number: int, whole: Path, folder: Path) -> None:
    """Copy the whole files of a reader to `folder`, one of them damaged."""
    rng = random.Random(f"{seed}/{name}/{number}")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(whole, folder)
    suffix = READERS[name][2]
    paths = sorted(path for path in folder.rglob("*") if path.suffix in DAMAGE and suffix in (None, path.suffix))
    contents = [path.read_bytes() for path in paths]
    chosen = rng.randrange(len(paths))
    paths[chosen].write_bytes(DAMAGE[paths[chosen].suffix](rng, contents[chosen], contents))


def judge(name: str, folder: Path) -> tuple[str, str]:
    """-> (outcome, what there is to say of it) of one case."""
    try:
        READERS[name][1](folder)
    except InputError as error:
        line = str(error)
        clear = "\n" not in line and len(line) < LONGEST_LINE + len(str(folder)) and str(folder) in line
        if "accepted puzzle" in line or OUT_OF_MEMORY.search(line.replace(str(folder), "")):
            return "crash", line
        return ("refused", line) if clear else ("crash", f"not one clear line that names the file: {line!r:.1000}")
    except BaseException:
        return "crash", traceback.format_exc(limit=-4)
    return "accepted", ""


def child(pipe, name: str, seed: int, numbers: range, whole: Path, folder: Path) -> None:
    """Judge cases one after the other, saying before each that it begins."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    torch.set_num_threads(1)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in numbers:
        pipe.send((number, "begins", "", 0))
        write_case(name, seed, number, whole, folder)
        peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        pipe.send((number, *judge(name, folder), peak))
    pipe.close()


def _answers(pipe, pid: int) -> bool:
    """Wait for what the child sends; False once it has computed (or slept ten times) as long as it may without."""
    began, naps = _cpu_seconds(pid), 0
    while not pipe.poll(1):
        naps += 1
        if _cpu_seconds(pid) - began > PATIENCE or naps > 10 * PATIENCE:
            return False
    return True


def _cpu_seconds(pid: int) -> float:
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def fuzz(name: str, inputs: int, seed: int = 0, show: Callable[[str], None] = print) -> tuple[Counter, float]:
    """Outcomes of `inputs` cases of one reader, and the peak of memory in MB beyond the start of a child."""
    outcomes, peak, first = Counter(), 0.0, 0
    context = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory(prefix="fuzz-") as scratch:
        whole, folder = Path(scratch) / "whole", Path(scratch) / "case"
        whole.mkdir()
        READERS[name][0](whole)
        READERS[name][1](whole)  # what is not damaged is accepted
        while first < inputs:
            ours, theirs = context.Pipe(duplex=False)
            worker = context.Process(target=child, args=(theirs, name, seed, range(first, inputs), whole, folder))
            worker.start()
            theirs.close()
            current = first
            try:
                while _answers(ours, worker.pid):
                    current, outcome, text, memory = ours.recv()
                    peak = max(peak, memory)
                    if outcome == "begins":
                        continue
                    outcomes[outcome] += 1
                    first = current + 1
                    if outcome == "crash":
                        show(f"{name} case {current}: {text}")
                else:
                    outcomes["hang"] += 1
                    show(f"{name} case {current}: no answer in {PATIENCE:g} s")
                    first = current + 1
            except EOFError:
                if first < inputs:
                    outcomes["crash"] += 1
                    show(f"{name} case {current}: the process died")
                    first = current + 1
            worker.kill()
            worker.join()
    return outcomes, peak


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=1000, help="cases of each reader (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reader", nargs="+", choices=READERS, default=list(READERS), metavar="NAME")
    parser.add_argument("--case", type=int, help="run one case of one reader here and show it")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.case is not None:
        with tempfile.TemporaryDirectory(prefix="fuzz-") as scratch:
            whole, folder = Path(scratch) / "whole", Path(scratch) / "case"
            whole.mkdir()
            READERS[options.reader[0]][0](whole)
            write_case(options.reader[0], options.seed, options.case, whole, folder)
            print(*judge(options.reader[0], folder), sep="\n")
        return 0
    bad = 0
    rows = ["| reader | inputs | accepted | refused | crashes | hangs | peak MB |", "|---|---|---|---|---|---|---|"]
    for name in options.reader:
        outcomes, peak = fuzz(name, options.inputs, options.seed)
        bad += outcomes["crash"] + outcomes["hang"]
        counts = " | ".join(str(outcomes[key]) for key in ("accepted", "refused", "crash", "hang"))
        rows.append(f"| {name} | {outcomes.total()} | {counts} | {peak:.0f} |")
        print(rows[-1], flush=True)
    print("\n".join(rows))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
