"""The npz format: a zip of npy files, read from its central directory with every claim checked before it is believed.

Refused before anything is allocated: names that are no field, duplicates, encryption, zip64 and split archives,
entries that overlap, sizes past the limit, arrays whose header does not fit their bytes, and inflation past the claim.
"""

from __future__ import annotations

import io
import itertools
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from service.codecs.npy import PREFIX_BYTES, Header, header_bytes, read_data, read_header
from service.problems import escaped, invalid, malformed, too_large

_END = struct.Struct("<4s4H2LH")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_MAX_COMMENT = 65_535
_MAX_ENTRIES = 32
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_STORED, _DEFLATED = 0, 8
_MARK16, _MARK32 = 0xFFFF, 0xFFFFFFFF


@dataclass(frozen=True)
class Entry:
    """One file of the archive, as the central directory describes it."""

    field: str
    method: int
    crc: int
    packed: int
    size: int
    start: int


def read_npz(body: bytes, fields: re.Pattern[str], max_bytes: int) -> dict[str, np.ndarray]:
    """The arrays of an npz body, by field name, which `fields` must match. Raises Problem.

    `max_bytes` bounds their sizes together.

    >>> read_npz(write_npz({"x": np.array([1, 2])}), re.compile("x"), 1000)["x"].tolist()
    [1, 2]
    """
    entries = _directory(body, fields)
    total = sum(entry.size for entry in entries)
    if total > max_bytes:
        raise too_large("binary_bytes", max_bytes, total, "Send fewer rows at a time.")
    view = memoryview(body)
    plans = [(entry, _first(entry, view)) for entry in entries]
    return {entry.field: _read(entry, header, view) for entry, header in plans}


def _directory(body: bytes, fields: re.Pattern[str]) -> list[Entry]:
    place = body.rfind(b"PK\x05\x06", max(0, len(body) - _MAX_COMMENT - _END.size))
    if place < 0 or place + _END.size > len(body):
        raise malformed("not an npz archive (no zip directory at its end)", "npz")
    _, disk, first_disk, here, entries, length, offset, comment = _END.unpack_from(body, place)
    if place + _END.size + comment != len(body):
        raise malformed("npz: bytes follow the archive's end", "npz")
    if _MARK16 in (disk, first_disk, here, entries) or _MARK32 in (length, offset):
        raise malformed("npz: zip64 archives are not read; bodies are far below 4 GiB", "npz")
    if disk or first_disk or here != entries or offset + length != place:
        raise malformed("npz: split archives and gaps in the directory are not read", "npz")
    if entries > _MAX_ENTRIES:
        raise malformed(f"npz: {entries} arrays; at most {_MAX_ENTRIES} have a meaning", "npz")
    found: dict[str, Entry] = {}
    cursor = offset
    for _ in range(entries):
        if cursor + _CENTRAL.size > place:
            raise malformed("npz: the directory is cut off", "npz")
        entry, cursor = _entry(body, cursor, place, offset, fields)
        if entry.field in found:
            raise malformed(f"npz: array `{entry.field}` appears twice", "npz-duplicate", f"/{entry.field}")
        found[entry.field] = entry
    if cursor != place:
        raise malformed("npz: the directory does not end where it says", "npz")
    ordered = sorted(found.values(), key=lambda entry: entry.start)
    for before, after in itertools.pairwise(ordered):
        if before.start + before.packed > after.start:
            raise malformed(f"npz: arrays `{before.field}` and `{after.field}` overlap", "npz", f"/{after.field}")
    return list(found.values())


def _entry(body: bytes, cursor: int, end: int, data_end: int, fields: re.Pattern[str]) -> tuple[Entry, int]:
    values = _CENTRAL.unpack_from(body, cursor)
    signature, flags, method, crc, packed, size = values[0], values[3], values[4], *values[7:10]
    name_length, extra, comment, local = *values[10:13], values[16]
    name_start = cursor + _CENTRAL.size
    if signature != b"PK\x01\x02" or name_start + name_length + extra + comment > end:
        raise malformed("npz: the directory is damaged", "npz")
    raw = body[name_start : name_start + name_length]
    field = raw.decode("utf-8", "replace").removesuffix(".npy")
    if not fields.fullmatch(field) or raw != f"{field}.npy".encode():
        raise invalid(f"/{escaped(field)}", f"not an array of this request; its arrays are {fields.pattern}")
    pointer = f"/{field}"
    if flags & _ENCRYPTED:
        raise malformed(f"npz: array `{field}` is encrypted", "npz", pointer)
    if method not in (_STORED, _DEFLATED):
        raise malformed(
            f"npz: array `{field}` is packed by method {method}; only store and deflate are read", "npz", pointer
        )
    if _MARK32 in (packed, size, local) or local + _LOCAL.size > data_end:
        raise malformed(f"npz: array `{field}` lies outside the archive", "npz", pointer)
    header = _LOCAL.unpack_from(body, local)
    start = local + _LOCAL.size + header[9] + header[10]
    local_name = body[local + _LOCAL.size : local + _LOCAL.size + header[9]]
    if header[0] != b"PK\x03\x04" or local_name != raw or header[3] != method or start + packed > data_end:
        raise malformed(f"npz: array `{field}` lies outside the archive", "npz", pointer)
    if method == _STORED and packed != size:
        raise malformed(f"npz: array `{field}` is stored in {packed} bytes but claims {size}", "npz", pointer)
    return Entry(field, method, crc, packed, size, start), name_start + name_length + extra + comment


def _first(entry: Entry, view: memoryview) -> Header:
    """The array's header, checked against the size that the directory claims."""
    packed = view[entry.start : entry.start + entry.packed]
    prefix = packed[:PREFIX_BYTES] if entry.method == _STORED else _inflate(packed, PREFIX_BYTES, entry.field)[0]
    header = read_header(prefix, entry.field)
    if header.size + header.data_bytes != entry.size:
        detail = (
            f"{entry.field}: the header claims {header.data_bytes} bytes of data, "
            f"there are {max(0, entry.size - header.size)}"
        )
        raise malformed(detail, "npz", f"/{entry.field}")
    return header


def _read(entry: Entry, header: Header, view: memoryview) -> np.ndarray:
    packed = view[entry.start : entry.start + entry.packed]
    data: bytes | memoryview = packed
    if entry.method == _DEFLATED:
        data, ended = _inflate(packed, entry.size, entry.field)
        if not ended:
            raise malformed(f"{entry.field}: inflates to more than it claims", "npz", f"/{entry.field}")
    if zlib.crc32(data) != entry.crc:
        raise malformed(f"{entry.field}: its checksum does not fit", "npz", f"/{entry.field}")
    return read_data(header, memoryview(data)[header.size :], entry.field)


def _inflate(packed: memoryview, most: int, field: str) -> tuple[bytes, bool]:
    """At most `most` bytes of the inflated data, and whether the stream ended there."""
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        data = stream.decompress(packed, most) if most else b""
        more = b"" if stream.eof else stream.decompress(stream.unconsumed_tail if most else packed, 1)
    except zlib.error:
        raise malformed(f"{field}: cannot be inflated", "npz", f"/{field}") from None
    return data, stream.eof and not more


def write_npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    """An npz archive of the arrays, stored without compression and without a clock."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            contiguous = np.ascontiguousarray(array).reshape(array.shape)
            info = zipfile.ZipInfo(f"{name}.npy")
            with archive.open(info, "w") as file:
                file.write(header_bytes(contiguous))
                if contiguous.size:
                    file.write(contiguous.data.cast("B") if contiguous.dtype.kind != "U" else contiguous.tobytes())
    return buffer.getvalue()
