"""Valid bodies, changed where their structure is: in one field, header, entry or chunk; what is around it stays whole.

Damage at random dies in the first check of a reader; these reach the later ones.
"""

from __future__ import annotations

import base64
import json
import struct
import zlib
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tests.attacks.bodies.corpus import archive, header

# --- JSON -----------------------------------------------------------------------------------------------------------

_NUMBERS = [0, -0.0, 1e308, 5e-324, 1.5, -1, 2**31, 2**53, 2**63, 2**64, 10**400]
_OTHERS = [True, False, None, "", "0", "left", [], {}]
_FIELDS = ["x", "condition", "conditions", "draws", "seed", "version", "num_samples", "temperature", "latent", "model"]
_FIELDS += ["summary", "class_prior", "shared_latent", "return_latent", "return_log_likelihood", "return_samples"]
_FIELDS += ["quantile_levels", "nobody"]
leaves = st.sampled_from([*_NUMBERS, *_OTHERS]) | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8)
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(_FIELDS), inner, max_size=3)
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where in a document there is something."""
    found = [path]
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        found += _places(value[key], (*path, key))
    return found


def _changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = _changed(value[path[0]], path[1:], new)
    return copy


@st.composite
def json_bodies(draw: st.DrawFn, sound: dict[str, Any]) -> bytes:
    """The document with a few places replaced, fields added, and perhaps a byte changed."""
    document: Any = sound
    for _ in range(draw(st.integers(1, 3))):
        if isinstance(document, dict) and draw(st.booleans()):
            document = {**document, draw(st.sampled_from(_FIELDS)): draw(values)}
        else:
            document = _changed(document, draw(st.sampled_from(_places(document))), draw(values))
    body = json.dumps(document, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    return draw(damaged(body)) if draw(st.integers(0, 4)) == 0 else body


@st.composite
def damaged(draw: st.DrawFn, body: bytes) -> bytes:
    """The bytes with a few of them set, cut out or doubled."""
    content = bytearray(body)
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(content)))
        stop = min(len(content), start + draw(st.integers(0, 20)))
        match draw(st.sampled_from(["set", "cut", "double"])):
            case "set":
                content[start:stop] = draw(st.binary(min_size=stop - start, max_size=stop - start))
            case "cut":
                del content[start:stop]
            case _:
                content[start:start] = content[start:stop]
    return bytes(content)


# --- npy and npz ----------------------------------------------------------------------------------------------------

_DESCRS = ["'<f4'", "'>f4'", "'<f8'", "'<f2'", "'<i8'", "'|u1'", "'<U3'", "'|O'", "'|b1'", "'<c16'"]
_DESCRS += ["[('a', '<f4')]", "'<f4", "17"]
_EXTENT = st.integers(-2, 5) | st.sampled_from([2**31, 2**32, 2**63, 2**64, 10**30])
_VERSIONS = [b"\x01\x00", b"\x02\x00", b"\x03\x00", b"\x00\x01", b"\xff\xff"]


@st.composite
def arrays(draw: st.DrawFn) -> bytes:
    """An npy file whose header says one thing or another, and whose data may or may not fit it."""
    shape = tuple(draw(st.lists(_EXTENT, max_size=4)))
    order, version = draw(st.sampled_from([False, True, 1])), draw(st.sampled_from(_VERSIONS))
    head = header(draw(st.sampled_from(_DESCRS)), order, shape, version)
    if draw(st.booleans()):
        numbers = draw(st.lists(st.floats(width=32), max_size=8))
        return head + np.array(numbers, np.float32).tobytes()
    size = int(np.clip(np.prod([float(extent) for extent in shape]), 0, 64))
    return head + draw(st.binary(min_size=size, max_size=8 * size + 8))


@st.composite
def npy_bodies(draw: st.DrawFn) -> bytes:
    """An npy file, whole or with a few bytes changed."""
    body = draw(arrays())
    return draw(damaged(body)) if draw(st.booleans()) else body


@st.composite
def npz_bodies(draw: st.DrawFn) -> bytes:
    """An archive of a few arrays, stored or deflated, with one number of its directory changed or none."""
    names = st.sampled_from(["x.npy", "condition.npy", "class_prior.npy", "y.npy", "x", "../x.npy", ".npy", "X.npy"])
    entries = draw(st.lists(st.tuples(names, arrays()), max_size=3, unique_by=lambda entry: entry[0]))
    body = archive(*entries, compression=draw(st.sampled_from([0, 8])))
    signature = draw(st.sampled_from([b"", b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06"]))
    place = body.rfind(signature) if signature else -1
    if place >= 0:
        value = draw(st.sampled_from([b"\0\0", b"\1\0", b"\xff\xff", b"\xfe\xff", b"\x08\0", b"\x7f\0"]))
        offset = place + draw(st.integers(4, 44))
        body = body[:offset] + value + body[offset + 2 :]
    return draw(damaged(body)) if draw(st.integers(0, 4)) == 0 else body


# --- PNG ------------------------------------------------------------------------------------------------------------


def _chunk(kind: bytes, data: bytes, sum_: bytes | None = None) -> bytes:
    return struct.pack(">L", len(data)) + kind + data + (sum_ or struct.pack(">L", zlib.crc32(kind + data)))


_SIDE = st.sampled_from([0, 1, 2, 3, 60_000, 2**31 - 1, 2**32 - 1])
_EXTRA = st.sampled_from([b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"zTXt", b"iCCP", b"acTL", b"fdAT", b"????"])


@st.composite
def pictures(draw: st.DrawFn) -> bytes:
    """A PNG for 1 x 2 x 2, in most of its parts sound: its header, its chunks, their order, sums and pixels."""
    fields = [2, 2, 8, 0, 0, 0, 0]
    for place in draw(st.lists(st.integers(0, 6), max_size=2)):
        fields[place] = draw(_SIDE if place < 2 else st.integers(0, 255))
    pixels = draw(st.sampled_from([b"\0\0\0" * 2, b"\0\0\0", b"\xff\0\0" * 2, b"\0" * 5000, b""]))
    packed = draw(st.sampled_from([zlib.compress(pixels), zlib.compress(pixels)[:-4], pixels]))
    kinds = [b"IHDR", b"IDAT", b"IEND"]
    extra = draw(st.lists(_EXTRA, max_size=2))
    chunks = {b"IHDR": struct.pack(">LLBBBBB", *fields), b"IDAT": packed, b"IEND": b""}
    order = draw(st.permutations([*kinds, *extra])) if draw(st.integers(0, 3)) == 0 else [kinds[0], *extra, *kinds[1:]]
    sums = st.none() | st.binary(min_size=4, max_size=4) if draw(st.integers(0, 3)) == 0 else st.none()
    content = [_chunk(kind, chunks.get(kind, draw(st.binary(max_size=40))), draw(sums)) for kind in order]
    return b"\x89PNG\r\n\x1a\n" + b"".join(content)


@st.composite
def png_bodies(draw: st.DrawFn) -> bytes:
    """A question about one picture or several, each as base64 that may be broken."""
    texts = [base64.b64encode(draw(pictures())).decode() for _ in range(draw(st.integers(1, 2)))]
    if draw(st.integers(0, 4)) == 0:
        texts[0] = texts[0][: draw(st.integers(0, len(texts[0])))] + draw(st.text(max_size=3))
    x: Any = texts if len(texts) > 1 or draw(st.booleans()) else texts[0]
    return json.dumps({"model": "grey", "x": x}).encode("utf-8", "surrogatepass")
