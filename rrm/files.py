"""Files: one way to write whole or not at all, and reading files that strangers wrote.

Nothing in a file of strangers runs code, and no memory is taken on the file's word alone.

The readers compare every declaration of a file (sizes in the directory of an archive, shapes in a header, the length of
a line) with the file's own size before they allocate anything, and they bound the bytes that they read. Every failure
is an InputError of one line: the file, the reason, and the way out, which the caller gives as `remedy`.
"""

import hashlib
import json
import math
import os
import uuid
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO

import numpy as np

from rrm.errors import InputError

MB = 1 << 20

# Parsed, JSON takes up to fifty times its size. The records of the largest sweeps stay below a tenth of this.
MOST_JSON = 32 * MB
# Model configurations and descriptions of data sets have one or two kB; the YAML parser reads some 100 kB a second.
MOST_CONFIG = 64 << 10
# A deflated archive may hold so many times its size, besides the free share: puzzle sets shrink to a tenth, constant
# columns of small sets to less. Deflate itself stops at 1032.
MOST_RATIO, FREE_SHARE = 100, 64 * MB
# A checkpoint has some hundred tensors, whose entries take about 100 bytes each.
MOST_DIRECTORY = 8 * MB
# The header of a safetensors file takes some 100 bytes a tensor; results keep their settings in it.
MOST_HEADER = 8 * MB
# The longest reason of a parser that a message repeats.
_LONGEST_REASON = 160


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """A path beside `path` for the block to write: in its place when the block succeeds, removed when it does not."""
    path = Path(path)
    # A name of its own each time, as two processes may write the same file.
    unfinished = path.with_name(f".{path.name}.unfinished-{uuid.uuid4().hex}")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def file_hash(path: Path | str) -> str:
    """sha256 (hex) of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def refusing(path: Path | str, kind: str, remedy: str) -> Iterator[None]:
    """Turn whatever reading `path` raises into InputError: "PATH: not a readable KIND (reason); REMEDY".

    Parsers answer bytes at random with nearly every exception there is, MemoryError and RecursionError included, so
    the block should hold the parsing and nothing else.
    """
    _refuse_pipe(path, kind)
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; {remedy}") from None
    except Exception as error:
        refuse_disguised(path, kind)
        raise InputError(f"{path}: not a readable {kind} ({one_line(error)}); {remedy}") from None


# First bytes of other files that people get in place of the wanted one: (the name of such a file, the way out).
_DISGUISES = {
    b"version https://git-lfs": ("a pointer of Git LFS", "`git lfs pull` brings the file itself"),
    b"<!doctype html": ("a web page", "download the file itself"),
    b"<html": ("a web page", "download the file itself"),
    b"\x1f\x8b": ("compressed by gzip", "unpack it"),
    b"\xfd7zXZ": ("compressed by xz", "unpack it"),
    b"\x28\xb5\x2f\xfd": ("compressed by zstd", "unpack it"),
    b"PAR1": ("a Parquet file", "write it as CSV"),
    b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.": (
        "of torch.save before PyTorch 1.6, or without _use_new_zipfile_serialization",
        "load it by torch.load and save it again",
    ),
}


def refuse_disguised(path: Path | str, kind: str) -> None:
    """InputError for a file that is known to be something else than a `kind`, or a pipe."""
    _refuse_pipe(path, kind)
    try:
        with open(path, "rb") as file:
            start = file.read(64).lstrip().lower()
    except OSError:
        return
    for sign, (found, way_out) in _DISGUISES.items():
        if start.startswith(sign.lower()):
            raise InputError(f"{path}: not a {kind} but {found}: {way_out}")


def _refuse_pipe(path: Path | str, kind: str) -> None:
    """InputError for a pipe or a device: it can be read only once, or opening it waits."""
    if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
        raise InputError(f"{path}: not a {kind} but a pipe or a device: write it to a file")


def one_line(error: Exception) -> str:
    """The message of an exception on one line of bounded length, behind the type where the message may say little."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    if not reason or isinstance(error, (KeyError, IndexError, TypeError, AttributeError)):
        reason = f"{type(error).__name__} {reason}"
    return " ".join(reason[: 4 * _LONGEST_REASON].split())[:_LONGEST_REASON]


def read_text(path: Path | str, remedy: str, most: int = MOST_JSON, kind: str = "text in UTF-8") -> str:
    """The text of a file of at most `most` bytes, its newlines as they are."""
    with refusing(path, kind, remedy):
        with open(path, "rb") as file:
            if (size := os.fstat(file.fileno()).st_size) > most:
                raise ValueError(f"it has {size} bytes, at most {most} are read")
            content = file.read(size + 1)
        if len(content) > size:
            raise ValueError("it has more bytes than the file system says")
        return content.decode()


def parse_object(text: str, path: Path | str, remedy: str) -> dict:
    """The JSON object that a text holds."""
    with refusing(path, "JSON object", remedy):
        content = json.loads(text.removeprefix("\ufeff"))
        if not isinstance(content, dict):
            raise ValueError(f"it holds a {type(content).__name__}")
    return content


def read_object(path: Path | str, remedy: str, most: int = MOST_JSON) -> dict:
    """The JSON object in a file of at most `most` bytes."""
    return parse_object(read_text(path, remedy, most, "JSON object"), path, remedy)


@contextmanager
def open_zip(path: Path | str, kind: str, remedy: str, stored: bool = False) -> Iterator[zipfile.ZipFile]:
    """A zip file whose members, by its directory, stay within bounds and inside it; `stored`: none is compressed."""
    with refusing(path, kind, remedy), open(path, "rb") as file:
        _check_directory_size(file)
        with zipfile.ZipFile(file) as archive:
            size = Path(path).stat().st_size
            _check_members(archive.infolist(), size if stored else MOST_RATIO * size + FREE_SHARE, stored)
            yield archive


def _check_directory_size(file: BinaryIO) -> None:
    """zipfile reads the whole directory before it looks at it."""
    file.seek(max(0, file.seek(0, 2) - 98))
    end = file.read()
    if end[-22:-18] != b"PK\5\6" or end[-2:] != b"\0\0":
        raise ValueError("it does not end in the directory of a zip file")
    length = int.from_bytes(end[-10:-6], "little")
    if end[-42:-38] == b"PK\6\7" and end[:4] == b"PK\6\6":
        length = int.from_bytes(end[40:48], "little")
    if length > MOST_DIRECTORY:
        raise ValueError(f"its directory has {length} bytes, at most {MOST_DIRECTORY} are read")


def _check_members(members: list[zipfile.ZipInfo], most: int, stored: bool) -> None:
    allowed = (zipfile.ZIP_STORED,) if stored else (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    for member in members:
        name = PurePosixPath(member.filename.replace("\\", "/"))
        if name.is_absolute() or ".." in name.parts:
            raise ValueError(f"its member {member.filename!r:.60} lies outside of it")
        # The other methods expand what they are given without a limit.
        if member.compress_type not in allowed or member.flag_bits & 1:
            raise ValueError(f"its member {member.filename!r:.60} is {'compressed' if stored else 'encrypted or odd'}")
    if len({member.filename for member in members}) != len(members):
        raise ValueError("it has two members of one name")
    declared = sum(member.file_size for member in members)
    if declared > most:
        raise ValueError(f"its members declare {declared} bytes, for its size at most {most} are read")


def read_npz(
    path: Path | str, names: Sequence[str], kind: str, remedy: str, optional: Sequence[str] = ()
) -> dict[str, np.ndarray]:
    """The arrays of these names in an `.npz` file, in the byte order of the machine; others are left unread.

    `optional`: names that the file may lack.
    """
    with open_zip(path, kind, remedy) as archive:
        there = {member.filename for member in archive.infolist()}
        return {name: _member(archive, name) for name in (*names, *(n for n in optional if f"{n}.npy" in there))}


def _member(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    try:
        size = archive.getinfo(f"{name}.npy").file_size
    except KeyError:
        raise ValueError(f"it has no array {name!r}") from None
    with archive.open(f"{name}.npy") as file:
        shape, columns_first, dtype = _npy_header(file, size)
        values = np.frombuffer(file.read(), dtype, math.prod(shape)).reshape(shape, order="F" if columns_first else "C")
    # A copy, as the buffer cannot be written to.
    array = values.astype(dtype.newbyteorder("="))
    check_values(array)
    return array


def map_npy(path: Path | str, remedy: str) -> np.ndarray:
    """The array of an `.npy` file, memory-mapped."""
    with refusing(path, ".npy array", remedy):
        with open(path, "rb") as file:
            shape, columns_first, dtype = _npy_header(file, Path(path).stat().st_size)
            offset = file.tell()
        return np.memmap(path, dtype, "r", offset, shape, "F" if columns_first else "C")


def _npy_header(file: IO[bytes], size: int) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, order and type of the array that `size` bytes, header included, declare; ValueError where it cannot be."""
    # Later versions are for the headers of records, and their length is not bounded.
    if (version := np.lib.format.read_magic(file)) != (1, 0):
        raise ValueError(f"its format version is {version}, read is (1, 0)")
    shape, columns_first, dtype = np.lib.format.read_array_header_1_0(file)
    if dtype.kind not in "biufU" or dtype.itemsize == 0:
        raise ValueError(f"it holds {str(dtype):.60}; read are numbers, truth values and texts")
    declared = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or declared > size - file.tell():
        raise ValueError(
            f"its header declares the shape {str(shape):.60}, {declared:.4g} bytes, and the file has {size}"
        )
    return shape, columns_first, dtype


def check_values(array: np.ndarray) -> None:
    """ValueError for bytes that are no value of the array's type, which numpy passes on to go wrong later."""
    if not array.size:
        return
    if array.dtype.kind == "b" and array.view(np.uint8).max() > 1:
        raise ValueError("a truth value is neither 0 nor 1")
    if array.dtype.kind == "U":
        codes = np.ascontiguousarray(array).view(np.uint32)
        if codes.max() > 0x10FFFF or ((codes >= 0xD800) & (codes < 0xE000)).any():
            raise ValueError("a text has a character that Unicode does not know")


@contextmanager
def open_tensors(path: Path | str, kind: str, remedy: str, framework: str = "torch") -> Iterator:
    """A safetensors file, as `safetensors.safe_open`.

    Its library maps the file and checks that the tensors, by type and shape, fill what follows the header exactly,
    before it gives any of them.
    """
    from safetensors import safe_open

    with refusing(path, kind, remedy):
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
        if length > MOST_HEADER:
            raise ValueError(f"its header claims {length} bytes, at most {MOST_HEADER} are read")
        with safe_open(path, framework=framework) as file:
            yield file


def is_zip(path: Path | str) -> bool:
    """Whether a file begins like a zip archive."""
    try:
        with open(path, "rb") as file:
            return file.read(4) == b"PK\3\4"
    except OSError:
        return False
