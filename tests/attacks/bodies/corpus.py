"""Bodies made to break a reader: each with what it is sent as and the status that it must be refused with.

They are made here, byte by byte, so that nothing hostile lies in the repository as a file.
"""

from __future__ import annotations

import base64
import io
import struct
import zipfile
import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image

JSON, NPZ, NPY = "application/json", "application/x-npz", "application/x-npy"
GIGABYTE = 10**9


@dataclass(frozen=True)
class Attack:
    """Sent to /loglik of model `labels` (or `grey` for pictures); the refusal must name `field`, if there is one."""

    name: str
    media: str
    body: bytes
    statuses: tuple[int, ...]
    field: str | None = None


def header(
    descr: object = "'<f4'", order: object = False, shape: object = "(2, 2)", version: bytes = b"\x01\x00"
) -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}".encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text


def good_npy() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((2, 2), np.float32))
    return buffer.getvalue()


def archive(*entries: tuple[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, content in entries:
            file.writestr(name, content)
    return buffer.getvalue()


def patched(body: bytes, signature: bytes, offset: int, value: bytes) -> bytes:
    """The body with `value` written `offset` bytes after the last occurrence of `signature`."""
    place = body.rfind(signature) + offset
    return body[:place] + value + body[place + len(value) :]


def npy_attacks() -> list[Attack]:
    def attack(name: str, body: bytes, *statuses: int, field: str = "/x") -> Attack:
        return Attack(f"npy {name}", NPY, body, statuses or (400,), field)

    data = b"\0" * 16
    return [
        attack("claims 12 GB", header(shape="(3000000000,)") + data),
        attack("claims 12 GB of rows", header(shape="(1500000000, 2)") + data),
        attack("claims 2^64 bytes", header(shape="(4294967295, 4294967295)") + data),
        attack("extent past 2^63", header(shape="(99999999999999999999,)") + data),
        attack("negative extent", header(shape="(-1, 2)") + data),
        attack("extent is a bool", header(shape="(True, 2)") + data),
        attack("extent is a float", header(shape="(2.0, 2)") + data),
        attack("shape is a list", header(shape="[2, 2]") + data),
        attack("hundred axes", header(shape="(" + "1," * 100 + ")") + data),
        attack("empty axis beside a huge one", header(shape="(0, 4294967295)"), 422),
        attack("empty axis beside two huge ones", header(shape="(0, 2147483648, 2147483648)")),
        attack("object array", header("'|O'") + data, 422),
        attack("object array with a pickle", header("'|O'", shape="()") + b"cos\nsystem\n(S'id'\ntR.", 422),
        attack("structured", header("[('a', '<f4')]") + data, 422),
        attack("complex", header("'<c8'") + data, 422),
        attack("bool", header("'|b1'") + b"\1" * 4, 422),
        attack("datetime", header("'<M8[s]'") + data, 422),
        attack("void", header("'|V4'") + data, 422),
        attack("bytes", header("'|S4'") + data, 422),
        attack("long text", header("'<U99999999'") + data, 422),
        attack("text as numbers", header("'<U1'") + data, 422),
        attack("descr is no text", header("17") + data, 422),
        attack("order is no bool", header(order="1") + data),
        attack("calls a function", header("__import__('os').system('id')") + data),
        attack("nested parentheses", b"\x93NUMPY\x01\x00" + struct.pack("<H", 4000) + b"(" * 4000 + data),
        attack("header past its end", b"\x93NUMPY\x01\x00\xff\xff{'descr'"),
        attack("header of 4 GB", b"\x93NUMPY\x02\x00\xff\xff\xff\xff{'descr'"),
        attack("header not UTF-8", b"\x93NUMPY\x01\x00\x04\x00\xff\xfe\xff\xfe" + data),
        attack("unknown version", header(version=b"\x09\x00") + data),
        attack(
            "extra key",
            b"\x93NUMPY\x01\x00\x3a\x00{'descr':'<f4','fortran_order':False,'shape':(2,2),'x':1,}     " + data,
        ),
        attack("too few bytes", header() + data[:-1]),
        attack("too many bytes", header() + data + b"\0"),
        attack("only magic", b"\x93NUMPY"),
        attack("empty", b""),
        attack("not npy", b"hello"),
        attack("NaN", header() + struct.pack("<4f", 0, 0, float("nan"), 0), 422, field="/x/1/0"),
        attack("infinity", header() + struct.pack("<4f", 0, float("inf"), 0, 0), 422, field="/x/0/1"),
        attack("wrong rank", header(shape="(1, 1, 4)") + data, 422),
        attack("no rows", header(shape="(0, 2)"), 422),
    ]


def npz_attacks() -> list[Attack]:
    good = archive(("x.npy", good_npy()))
    packed = archive(("x.npy", good_npy()), compression=zipfile.ZIP_DEFLATED)
    central = b"PK\x01\x02"
    end = b"PK\x05\x06"

    def attack(name: str, body: bytes, *statuses: int, field: str | None = "/x") -> Attack:
        return Attack(f"npz {name}", NPZ, body, statuses or (400,), field)

    huge = header(shape=f"({10 * GIGABYTE // 8}, 2)")
    return [
        attack("claims 12 GB inside", archive(("x.npy", header(shape="(1500000000, 2)") + b"\0" * 16))),
        attack("bomb of 100 MB that claims 144 bytes", bomb(100_000_000, 144)),
        attack("bomb of 1 GB that says so", bomb(1_000_000_000, 1_000_000_000), 413, field=None),
        attack("bomb whose header claims 10 GB", archive(("x.npy", huge), compression=zipfile.ZIP_DEFLATED)),
        attack("duplicate names", duplicated()),
        attack("object array", archive(("x.npy", header("'|O'") + b"\0" * 16)), 422),
        attack("unknown name", archive(("y.npy", good_npy())), 422, field="/y"),
        attack("name with slashes", archive(("../../x.npy", good_npy())), 422, field="/..~1..~1x"),
        attack("absolute name", archive(("/x.npy", good_npy())), 422, field="/~1x"),
        attack("name without .npy", archive(("x", good_npy())), 422),
        attack("empty name", archive((".npy", good_npy())), 422, field="/"),
        attack("encrypted", patched(good, central, 8, b"\x01\x00")),
        attack("unknown method", patched(good, central, 10, b"\x0c\x00")),
        attack("method differs in the local header", patched(packed, central, 10, b"\x00\x00")),
        attack("stored size differs", patched(good, central, 24, struct.pack("<L", 999))),
        attack("packed size past the end", patched(good, central, 20, struct.pack("<L", 10**9))),
        attack("zip64 sizes", patched(good, central, 24, b"\xff\xff\xff\xff")),
        attack("zip64 directory", patched(good, end, 16, b"\xff\xff\xff\xff"), field=None),
        attack("local header outside", patched(good, central, 42, struct.pack("<L", 10**8))),
        attack("local header inside the data", patched(good, central, 42, struct.pack("<L", 10))),
        attack("wrong checksum", patched(good, central, 16, b"\0\0\0\0")),
        attack("65535 entries claimed", patched(good, end, 8, b"\xfe\xff\xfe\xff"), field=None),
        attack("two discs", patched(good, end, 4, b"\x01\x00\x01\x00"), field=None),
        attack("bytes after the end", good + b"trailing", field=None),
        attack("directory cut off", good[:-30], field=None),
        attack("half of it", good[: len(good) // 2], field=None),
        attack("overlapping entries", overlapping(), field="/condition"),
        attack("corrupt deflate", patched(packed, b"PK\x03\x04", 40, b"\xff\xff\xff\xff\xff\xff")),
        attack("many entries", archive(*((f"x{i}.npy", good_npy()) for i in range(2000))), field=None),
        attack("not a zip", b"hello", field=None),
        attack("empty", b"", field=None),
        attack("no x", archive(), 422),
        attack("NaN", archive(("x.npy", header() + struct.pack("<4f", 0, 0, float("nan"), 0))), 422, field="/x/1/0"),
    ]


def bomb(inflated: int, claimed: int) -> bytes:
    """An entry of zeros after a small header, packed a thousand times, with a false or a true size."""
    head = header(shape=f"({(claimed - 128) // 8}, 2)")
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    pieces = [stream.compress(head)]
    block = bytes(1_000_000)
    pieces += [stream.compress(block) for _ in range(inflated // len(block))]
    data = b"".join([*pieces, stream.flush()])
    local = struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, 0, 8, 0, 0, 0, len(data), claimed, 5, 0) + b"x.npy"
    entry = struct.pack("<4s6H3L5H2L", b"PK\x01\x02", 20, 20, 0, 8, 0, 0, 0, len(data), claimed, 5, 0, 0, 0, 0, 0, 0)
    entry += b"x.npy"
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, len(entry), len(local) + len(data), 0)
    return local + data + entry + end


def duplicated() -> bytes:
    body = archive(("x.npy", good_npy()), ("z.npy", good_npy()))
    return body.replace(b"z.npy", b"x.npy")


def overlapping() -> bytes:
    """Two entries of the directory that share one local entry."""
    body = archive(("x.npy", good_npy()))
    start, end = body.rfind(b"PK\x01\x02"), body.rfind(b"PK\x05\x06")
    entry = body[start:end]
    other = entry.replace(b"x.npy", b"condition.npy")
    other = other[:28] + struct.pack("<H", 13) + other[30:]
    local = struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, 0, 0, 0, 0, 0, 0, 0, 13, 0) + b"condition.npy"
    inner = good_npy()
    size = len(local) + len(inner)
    crc = zlib.crc32(local + inner)
    whole = struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, 0, 0, 0, 0, crc, size, size, 5, 0) + b"x.npy" + local + inner
    first = (
        struct.pack("<4s6H3L5H2L", b"PK\x01\x02", 20, 20, 0, 0, 0, 0, crc, size, size, 5, 0, 0, 0, 0, 0, 0) + b"x.npy"
    )
    second = struct.pack(
        "<4s6H3L5H2L",
        b"PK\x01\x02",
        20,
        20,
        0,
        0,
        0,
        0,
        zlib.crc32(inner),
        len(inner),
        len(inner),
        13,
        0,
        0,
        0,
        0,
        0,
        35,
    )
    second += b"condition.npy"
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 2, 2, len(first) + len(second), len(whole), 0)
    return whole + first + second + tail


def json_attacks() -> list[Attack]:
    def attack(name: str, body: bytes, *statuses: int, field: str | None = None) -> Attack:
        return Attack(f"json {name}", JSON, body, statuses or (400,), field)

    def x(value: str) -> bytes:
        return f'{{"model": "labels", "x": {value}}}'.encode()

    return [
        attack("nested a million deep", b'{"x": ' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}"),
        attack("nested 900 deep", x("[" * 900 + "]" * 900), 422, field="/x"),
        attack("objects nested 900 deep", x('{"a":' * 900 + "1" + "}" * 900), 400, 422),
        attack("NaN literal", x("[[NaN, 0]]")),
        attack("Infinity literal", x("[[Infinity, 0]]")),
        attack("number past float64", x("[[1e999, 0]]"), 422, field="/x/0/0"),
        attack("number past float32", x("[[1e300, 0]]"), 422, field="/x/0/0"),
        attack("integer of 10000 digits", x(f"[[{'9' * 10000}, 0]]"), 422, field="/x/0/0"),
        attack("integer past 64 bits", x(f"[[{10**60}, 0]]"), 422, field="/x/0/0"),
        attack("duplicate names", b'{"model": "labels", "x": [0, 0], "x": [1, 1]}', field="/x"),
        attack("duplicate names by escapes", b'{"model": "labels", "x": [0, 0], "\\u0078": [1, 1]}', field="/x"),
        attack(
            "duplicate names inside",
            b'{"model": "labels", "x": [0, 0], "condition": {"a": 1, "a": 2}}',
            field="/condition/a",
        ),
        attack("lone surrogate", b'{"model": "\\ud800", "x": [0, 0]}', 400, 404),
        attack("bytes that are not UTF-8", b'{"model": "\xff\xfe", "x": [0, 0]}'),
        attack("byte order mark", b'\xef\xbb\xbf{"model": "labels", "x": [0, 0]}'),
        attack("a list", b"[]"),
        attack("a number", b"1"),
        attack("empty", b""),
        attack("cut off", b'{"model": "labels", "x": [[0, 0'),
        attack("two objects", b'{"model": "labels"}{"x": [0, 0]}'),
        attack("ragged", x("[[0, 0], [0]]"), 422, field="/x/1"),
        attack("ragged deeper", x("[[0, [0]], [0, 0]]"), 422, field="/x/0/1"),
        attack("boolean", x("[[true, 0]]"), 422, field="/x/0/0"),
        attack("text", x('[["1", 0]]'), 422, field="/x/0/0"),
        attack("null", x("[[null, 0]]"), 422, field="/x/0/0"),
        attack("object", x('[[{"a": 1}, 0]]'), 422, field="/x/0/0"),
        attack("no rows", x("[]"), 422, field="/x"),
        attack("empty rows", x("[[], []]"), 422, field="/x/0"),
        attack("wrong width", x("[[0, 0, 0]]"), 422, field="/x/0"),
        attack("number for rows", x("3"), 422, field="/x"),
        attack("text for rows", x('"aGVsbG8="'), 422, field="/x"),
        attack("null for rows", x("null"), 422, field="/x"),
    ]


def picture_attacks() -> list[Attack]:
    """PNGs for a grey model of 1 x 2 x 2."""

    def attack(name: str, content: bytes, field: str = "/x") -> Attack:
        text = base64.b64encode(content).decode()
        return Attack(f"png {name}", JSON, f'{{"model": "grey", "x": "{text}"}}'.encode(), (422,), field)

    def saved(mode: str, size: tuple[int, int] = (2, 2), colour: int | tuple[int, ...] = 0, **options: object) -> bytes:
        buffer = io.BytesIO()
        Image.new(mode, size, colour).save(buffer, "PNG", **options)
        return buffer.getvalue()

    good = saved("L")

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data))

    def built(ihdr: bytes, *chunks: bytes) -> bytes:
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", ihdr) + b"".join(chunks) + chunk(b"IEND", b"")

    small = struct.pack(">LLBBBBB", 2, 2, 8, 0, 0, 0, 0)
    text_bomb = b"comment\0\0" + zlib.compress(bytes(100_000_000), 9)
    return [
        attack("of 60000 x 60000", patched(good, b"IHDR", 4, struct.pack(">LL", 60_000, 60_000))),
        attack("of 2^31 x 2^31", patched(good, b"IHDR", 4, struct.pack(">LL", 2**31 - 1, 2**31 - 1))),
        attack("of 0 x 0", patched(good, b"IHDR", 4, struct.pack(">LL", 0, 0))),
        attack("one pixel too wide", saved("L", (3, 2))),
        attack("in colour", saved("RGB")),
        attack("with a palette", saved("P")),
        attack("half transparent", saved("LA", colour=(0, 128))),
        attack("transparent by tRNS", saved("L", transparency=0)),
        attack("of 16 bits", saved("I;16")),
        attack("cut off", good[:-20]),
        attack("only a header", good[:33]),
        attack("broken checksum", patched(good, b"IDAT", 4, b"\0\0\0\0")),
        attack("two headers", built(small, chunk(b"IHDR", struct.pack(">LLBBBBB", 9000, 9000, 8, 0, 0, 0, 0)))),
        attack("no pixels", built(small)),
        attack("too few pixels", built(small, chunk(b"IDAT", zlib.compress(b"\0")))),
        attack("text bomb", built(small, chunk(b"zTXt", text_bomb), chunk(b"IDAT", zlib.compress(b"\0" * 2)))),
        attack("JPEG", jpeg()),
        attack("not a picture", b"hello"),
        attack("nothing", b""),
    ]


def jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (2, 2)).save(buffer, "JPEG")
    return buffer.getvalue()


def all_attacks() -> list[Attack]:
    return [*npy_attacks(), *npz_attacks(), *json_attacks(), *picture_attacks()]
