"""The npy format: a header read by ourselves and checked against the bytes before anything is allocated.

Format: NumPy enhancement proposal 1 (`numpy.lib.format`). No pickle: object arrays are refused by their header.
"""

from __future__ import annotations

import ast
import struct
from dataclasses import dataclass
from math import prod

import numpy as np

from service.problems import invalid, malformed

MAGIC = b"\x93NUMPY"
MAX_HEADER = 4096
PREFIX_BYTES = 12 + MAX_HEADER
_MAX_AXES = 8
_MAX_EXTENT = 2**32
_MAX_ADDRESS = 2**63
_KINDS = {"f": (2, 4, 8), "i": (1, 2, 4, 8), "u": (1, 2, 4, 8)}
_MAX_TEXT = 256


@dataclass(frozen=True)
class Header:
    """What the header claims; `size` is its own length in bytes."""

    dtype: np.dtype
    fortran_order: bool
    shape: tuple[int, ...]
    size: int

    @property
    def data_bytes(self) -> int:
        """Bytes that must follow the header."""
        return prod(self.shape) * self.dtype.itemsize


def read_header(prefix: bytes | memoryview, field: str) -> Header:
    """Read the header from the first bytes of a file (`PREFIX_BYTES` are enough). Raises Problem."""
    pointer = f"/{field}"
    start = bytes(prefix[:12])
    if len(start) < 10 or not start.startswith(MAGIC):
        raise malformed(f"{field}: not an npy array (no magic string)", "npy", pointer)
    if start[6] == 1:
        (length,), offset = struct.unpack("<H", start[8:10]), 10
    elif start[6] in (2, 3) and len(start) == 12:
        (length,), offset = struct.unpack("<I", start[8:12]), 12
    else:
        raise malformed(f"{field}: npy format version {start[6]} is not known", "npy", pointer)
    if length > MAX_HEADER or offset + length > len(prefix):
        raise malformed(f"{field}: npy header of {length} bytes is cut off or too long", "npy", pointer)
    try:
        content = ast.literal_eval(bytes(prefix[offset : offset + length]).decode("utf-8").strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        raise malformed(f"{field}: npy header cannot be read", "npy", pointer) from None
    if not isinstance(content, dict) or set(content) != {"descr", "fortran_order", "shape"}:
        raise malformed(f"{field}: npy header must name descr, fortran_order and shape", "npy", pointer)
    shape, fortran = content["shape"], content["fortran_order"]
    if not isinstance(shape, tuple) or len(shape) > _MAX_AXES or not isinstance(fortran, bool):
        raise malformed(f"{field}: npy header has no sound shape", "npy", pointer)
    if any(type(extent) is not int or not 0 <= extent < _MAX_EXTENT for extent in shape):
        raise malformed(f"{field}: npy header has no sound shape", "npy", pointer)
    dtype = _dtype(content["descr"], field)
    if prod(max(extent, 1) for extent in shape) * dtype.itemsize >= _MAX_ADDRESS:  # numpy counts so, empty axes or not
        raise malformed(f"{field}: npy header has no sound shape", "npy", pointer)
    return Header(dtype, fortran, shape, offset + length)


def _dtype(description: object, field: str) -> np.dtype:
    if isinstance(description, str) and 2 <= len(description) <= 8:
        order, kind, width = description[0], description[1:2], description[2:]
        if order in "<>|=" and width.isascii() and width.isdigit():
            if int(width) in _KINDS.get(kind, ()):
                return np.dtype(description)
            if kind == "U" and 0 < int(width) <= _MAX_TEXT:
                return np.dtype(description)
    shown = repr(description)[:40]
    raise invalid(f"/{field}", f"expected an array of numbers or of text, got numpy type {shown}")


def read_data(header: Header, data: bytes | memoryview, field: str) -> np.ndarray:
    """The array itself, over the same memory where byte order and layout allow it. Raises Problem."""
    if len(data) != header.data_bytes:
        detail = f"{field}: the header claims {header.data_bytes} bytes of data, there are {len(data)}"
        raise malformed(detail, "npy", f"/{field}")
    array = np.frombuffer(data, dtype=header.dtype).reshape(header.shape, order="F" if header.fortran_order else "C")
    return np.ascontiguousarray(array.astype(header.dtype.newbyteorder("="), copy=False)).reshape(header.shape)


def read_npy(body: bytes | memoryview, field: str) -> np.ndarray:
    """A whole npy body. Raises Problem."""
    header = read_header(memoryview(body)[:PREFIX_BYTES], field)
    return read_data(header, memoryview(body)[header.size :], field)


def header_bytes(array: np.ndarray) -> bytes:
    """The npy header (version 1.0) of a contiguous array."""
    content = {"descr": array.dtype.str, "fortran_order": False, "shape": array.shape}
    text = repr(content).encode("ascii")
    padding = -(len(MAGIC) + 4 + len(text) + 1) % 64
    text += b" " * padding + b"\n"
    return MAGIC + b"\x01\x00" + struct.pack("<H", len(text)) + text


def write_npy(array: np.ndarray) -> bytes:
    """The npy bytes of an array.

    >>> read_npy(write_npy(np.arange(6.0).reshape(2, 3)), "x").tolist()
    [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    """
    contiguous = np.ascontiguousarray(array).reshape(array.shape)
    return b"".join((header_bytes(contiguous), contiguous.data if contiguous.size else b""))
