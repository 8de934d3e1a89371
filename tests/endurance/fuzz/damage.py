"""Random damage to the bytes of a file, by its format."""

import copy
import io
import json
import random
import re
import warnings
import zipfile
from collections.abc import Callable

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
