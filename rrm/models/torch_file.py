"""Files of `torch.save`, read without unpickling: their pickle is walked as data, and nothing it names is called.

`torch.load(weights_only=True)` calls no foreign code either, but it allocates and hashes whatever the file asks for.
This reader makes a tensor only where its values lie in the file. It reads state dicts, and dictionaries that hold them
beside other things, of PyTorch 1.6 (2020) or later: a zip archive of data.pkl and one member per storage.
"""

import math
import pickletools
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from rrm.files import MB, check_values, open_zip

# The pickle of a thousand tensors has 200 kB, and a million of its instructions take a second.
MOST_PICKLE = 8 * MB
_DTYPES = {
    "FloatStorage": torch.float32, "DoubleStorage": torch.float64, "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16, "LongStorage": torch.int64, "IntStorage": torch.int32,
    "ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8, "BoolStorage": torch.bool,
}  # fmt: skip
T = TypeVar("T")
_PLAIN = (str, int, float, bool, type(None))


class Uncalled(NamedTuple):
    """The place of an object that the pickle would make by a call; nothing was called."""

    name: str

    def __str__(self) -> str:
        return f"asks to call {self.name.replace(' ', '.')!r:.80}, which is no part of weights"


class _Name(NamedTuple):
    """A global that the pickle names, such as "torch FloatStorage"; never looked up."""

    name: str


def read_torch_file(path: Path | str, kind: str, remedy: str) -> object:
    """The saved object: tensors, plain values, lists, tuples and dictionaries, and `Uncalled` for any other object.

    Args:
        path: The file.
        kind: Name of such a file, for the message.
        remedy: The way out, for the message.

    Raises:
        InputError: for a file that cannot be read.
    """
    with open_zip(path, kind, remedy, stored=True) as archive:
        members = {member.filename.partition("/")[2]: member for member in archive.infolist()}
        for name in ("data.pkl", "version"):
            if name not in members:
                raise ValueError(f"it has no member {name}: it is not written by torch.save of PyTorch 1.6 or later")
        if "byteorder" in members and _bytes(archive, members["byteorder"], 16) != b"little":
            raise ValueError("its numbers are not little-endian")
        return _Walk(archive, members).run(_bytes(archive, members["data.pkl"], MOST_PICKLE))


def _bytes(archive: zipfile.ZipFile, member: zipfile.ZipInfo, most: int) -> bytes:
    if member.file_size > most:
        raise ValueError(f"its member {member.filename!r:.60} has {member.file_size} bytes, at most {most} are read")
    return archive.read(member)


class _Walk:
    """The stack machine of pickle, cut down to the instructions that torch.save writes for data."""

    def __init__(self, archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo]):
        self.archive, self.members = archive, members
        self.storages: dict[str, Tensor] = {}
        self.stack: list = []
        self.marks: list[int] = []
        self.memo: dict[object, object] = {}

    def run(self, program: bytes) -> object:
        for instruction, argument, _ in pickletools.genops(program):
            name = instruction.name
            if name == "STOP":
                break
            if name in ("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE"):
                self.stack.append(argument)
            elif name in _CONSTANTS:
                self.stack.append(_CONSTANTS[name])
            elif name in ("BINPUT", "LONG_BINPUT"):
                self.memo[argument] = self.stack[-1]
            elif name == "MEMOIZE":
                self.memo[len(self.memo)] = self.stack[-1]
            elif name in ("BINGET", "LONG_BINGET"):
                self.stack.append(self.memo[argument])
            elif name == "GLOBAL":
                self.stack.append(_Name(str(argument)))
            elif name in ("PROTO", "FRAME"):
                pass
            elif (step := getattr(self, f"_{name.lower()}", None)) is not None:
                step()
            else:
                raise ValueError(f"its pickle has the instruction {name}, which weights do not need")
        (content,) = self.stack
        return content

    def _mark(self) -> None:
        self.marks.append(len(self.stack))

    def _since_mark(self) -> list:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def _last(self, count: int) -> list:
        items = self.stack[-count:]
        del self.stack[-count:]
        return items

    def _target(self, kind: type[T]) -> T:
        if type(self.stack[-1]) is not kind:
            raise ValueError(f"its pickle fills a {type(self.stack[-1]).__name__} like a {kind.__name__}")
        return self.stack[-1]

    def _empty_dict(self) -> None:
        self.stack.append({})

    def _empty_list(self) -> None:
        self.stack.append([])

    def _tuple(self) -> None:
        self.stack.append(tuple(self._since_mark()))

    def _tuple1(self) -> None:
        self.stack.append(tuple(self._last(1)))

    def _tuple2(self) -> None:
        self.stack.append(tuple(self._last(2)))

    def _tuple3(self) -> None:
        self.stack.append(tuple(self._last(3)))

    def _append(self) -> None:
        self._extend(self._last(1))

    def _appends(self) -> None:
        self._extend(self._since_mark())

    def _extend(self, items: list) -> None:
        if not isinstance(self.stack[-1], Uncalled):
            self._target(list).extend(items)

    def _setitem(self) -> None:
        self._fill(self._last(2))

    def _setitems(self) -> None:
        self._fill(self._since_mark())

    def _fill(self, items: list) -> None:
        if isinstance(self.stack[-1], Uncalled):
            return
        target = self._target(dict)
        for key, value in zip(items[::2], items[1::2], strict=True):
            # A nested tuple may take forever to hash.
            if type(key) not in _PLAIN:
                raise ValueError(f"it has a dictionary with a {type(key).__name__} as key")
            target[key] = value

    def _build(self) -> None:
        """The attributes of an object: of a state dict the versions of its modules, which nobody needs."""
        self.stack.pop()
        if not isinstance(self.stack[-1], Uncalled):
            self._target(dict)

    def _stack_global(self) -> None:
        module, name = self._last(2)
        if type(module) is not str or type(name) is not str:
            raise ValueError("it names a global by something that is no text")
        self.stack.append(_Name(f"{module} {name}"))

    def _newobj(self) -> None:
        made, _ = self._last(2)
        self.stack.append(_uncalled(made))

    def _reduce(self) -> None:
        called, arguments = self._last(2)
        if called == _Name("collections OrderedDict") and arguments == ():
            self.stack.append({})
        elif called == _Name("torch._utils _rebuild_parameter"):
            if not isinstance(arguments[0], Tensor):
                raise ValueError("it has a parameter that is no tensor")
            self.stack.append(arguments[0])
        elif called == _Name("torch._utils _rebuild_tensor_v2"):
            self.stack.append(self._tensor(*arguments[:4]))
        else:
            self.stack.append(_uncalled(called))

    def _binpersid(self) -> None:
        """("storage", its type, its member, the device it was on, its length) -> the whole storage as a tensor."""
        kind, type_name, key, _, length = self.stack.pop()
        module, _, storage = type_name.name.partition(" ")
        if kind != "storage" or module != "torch" or storage not in _DTYPES or type(key) is not str:
            raise ValueError(f"it has a storage of type {type_name.name!r:.60}; read are {', '.join(_DTYPES)}")
        dtype = _DTYPES[storage]
        if key not in self.storages:
            self.storages[key] = self._storage(key, dtype, length)
        if self.storages[key].dtype != dtype:
            raise ValueError(f"storage {key!r:.20} is named with two types")
        self.stack.append(self.storages[key])

    def _storage(self, key: str, dtype: torch.dtype, length: int) -> Tensor:
        member = self.members[f"data/{key}"]
        if type(length) is not int or length * dtype.itemsize != member.file_size:
            raise ValueError(
                f"storage {key!r:.20} declares {length!r:.24} values, its member has {member.file_size} bytes"
            )
        content = bytearray(self.archive.read(member))
        if dtype is torch.bool:
            check_values(np.frombuffer(content, bool))
        return torch.frombuffer(content, dtype=dtype) if content else torch.empty(0, dtype=dtype)

    def _tensor(self, storage: object, offset: int, size: Sequence[int], stride: Sequence[int]) -> Tensor:
        """A view of a storage; ValueError for arguments of other types or beyond the storage."""
        numbers = [offset, *size, *stride]
        if any(type(number) is not int or number < 0 for number in numbers) or len(size) != len(stride):
            raise ValueError(f"a tensor has shape {str(size):.40} and strides {str(stride):.40}")
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) if math.prod(size) else -1
        if not isinstance(storage, Tensor) or max(math.prod(size), last + 1) > len(storage):
            raise ValueError(f"a tensor of shape {str(size):.40} reaches beyond its storage")
        return storage.as_strided(size, stride, offset)


def _uncalled(called: object) -> Uncalled:
    return Uncalled(called.name if isinstance(called, (_Name, Uncalled)) else type(called).__name__)


_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
