"""A checkpoint folder in parts of bounded size, with a manifest, and back: what can be carried in small files.

    manifest.json    files of the folder as lists of spans; each span by its hash and size; the parts and their hashes
    N-part-I.bin     the spans, one after the other, cut

A span is a tensor of a safetensors file, or another file as a whole. Spans with the same bytes are stored once: the
averaged weights are in a checkpoint up to three times.
"""

import hashlib
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rrm.errors import InputError
from rrm.files import read_object, refusing, replacing

MANIFEST = "manifest.json"
REMEDY = "carry all parts over again, or begin without --resume"


def cut(folder: Path, target: Path, part_bytes: int, name: str) -> int:
    """Write the files of `folder` as parts into `target`, in place of those that were there; -> number of parts.

    The manifest is replaced once all parts are there, so that a cut which is broken off leaves the earlier one.

    Args:
        name: of the new parts, other than that of the earlier ones.
    """
    target.mkdir(parents=True, exist_ok=True)
    files: dict[str, list[str]] = {}
    spans: dict[str, bytes] = {}
    for path in sorted(folder.iterdir()):
        hashes = []
        for span in _spans(path):
            hashes.append(key := hashlib.sha256(span).hexdigest())
            spans[key] = span
        files[path.name] = hashes
    content = b"".join(spans.values())
    parts = []
    for number, first in enumerate(range(0, len(content), part_bytes)):
        part = content[first : first + part_bytes]
        path = target / f"{name}-part-{number}.bin"
        path.write_bytes(part)
        parts.append({"name": path.name, "bytes": len(part), "sha256": hashlib.sha256(part).hexdigest()})
    manifest = {"files": files, "spans": {key: len(span) for key, span in spans.items()}, "parts": parts}
    with replacing(target / MANIFEST) as unfinished:
        unfinished.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    for old in set(target.glob("*-part-*.bin")) - {target / part["name"] for part in parts}:
        old.unlink()
    return len(parts)


def join(source: Path, folder: Path) -> None:
    """Write into `folder` the files whose parts are in `source`.

    Raises:
        InputError: a part or the manifest is missing or damaged.
    """
    manifest = read_object(source / MANIFEST, REMEDY)
    with refusing(source / MANIFEST, "manifest of parts", REMEDY):
        content = b"".join(_part(source / part["name"], part) for part in manifest["parts"])
        ends = itertools.accumulate(manifest["spans"].values(), initial=0)
        bounds = dict(zip(manifest["spans"], itertools.pairwise(ends), strict=True))
        files = {
            name: b"".join(content[slice(*bounds[key])] for key in keys) for name, keys in manifest["files"].items()
        }
    for name, data in files.items():
        (folder / name).write_bytes(data)


def _part(path: Path, said: dict[str, Any]) -> bytes:
    """The bytes of a part; InputError where they are not those of the manifest."""
    if not path.is_file():
        raise InputError(f"{path}: no such file, a part of the checkpoint is missing; {REMEDY}")
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != said["sha256"]:
        raise InputError(f"{path}: damaged, other bytes than those that were cut; {REMEDY}")
    return data


def _spans(path: Path) -> Iterator[bytes]:
    """The bytes of a file, a span for every tensor of a safetensors file."""
    data = path.read_bytes()
    ends = {len(data)}
    if path.suffix == ".safetensors":
        start = 8 + int.from_bytes(data[:8], "little")
        tensors = [entry for name, entry in json.loads(data[8:start]).items() if name != "__metadata__"]
        ends |= {start, *(start + entry["data_offsets"][1] for entry in tensors)}
    for first, last in itertools.pairwise(sorted({0, *ends})):
        yield data[first:last]
