"""Tensors as the protocol writes them: JSON lists in row-major order, or raw little-endian bytes after the JSON.

Byte strings are each preceded by their length, a 32-bit integer. Sizes are compared with shapes before anything is made
of them.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from math import prod
from typing import Any

import numpy as np

from inference.fields import described
from service.problems import escaped, invalid, malformed, spoken, too_large

NUMPY = {"FP32": "<f4", "FP64": "<f8", "UINT8": "|u1", "INT64": "<i8", "BOOL": "|b1"}
BYTES = "BYTES"
_JSON: dict[str, tuple[type, ...]] = {
    "FP32": (int, float),
    "FP64": (int, float),
    "UINT8": (int,),
    "INT64": (int,),
    "BOOL": (bool,),
    BYTES: (str,),
}
_WORDS = {"FP32": "a number", "FP64": "a number", "BOOL": "true or false", BYTES: "a string"}
_LENGTH = struct.Struct("<I")
_MAX_AXES = 8
_MAX_EXTENT = 2**32


@dataclass(frozen=True)
class Declared:
    """What a request says of an input, before its data is looked at."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    @property
    def pointer(self) -> str:
        """Where it is, for messages."""
        return f"/inputs/{escaped(self.name)}"

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    def check(self, max_strings: int) -> None:
        """Refuse unknown datatypes, shapes beyond reason, and more than `max_strings` byte strings. Raises Problem."""
        if self.datatype not in _JSON:
            raise invalid(self.pointer, f"expected a datatype of {', '.join(_JSON)}, got {self.datatype[:32]!r}")
        if len(self.shape) > _MAX_AXES or not all(1 <= extent < _MAX_EXTENT for extent in self.shape):
            raise invalid(self.pointer, f"expected a shape of at most {_MAX_AXES} sizes from 1 to {_MAX_EXTENT - 1}")
        if self.datatype == BYTES and self.size > max_strings:
            raise too_large("rows", max_strings, self.size, "Send class indexes as INT64.", self.pointer)


def read_json(declared: Declared, data: Any) -> Any:
    """An array, or a list of strings, from nested or flat lists. Raises Problem."""
    pointer, shape = declared.pointer, declared.shape
    flat = _flattened(data, shape, pointer)
    kinds = _JSON[declared.datatype]
    if not set(map(type, flat)) <= set(kinds):
        place, item = next((place, item) for place, item in enumerate(flat) if type(item) not in kinds)
        wanted = _WORDS.get(declared.datatype, "an integer")
        raise invalid(f"{pointer}/data/{place}", f"expected {wanted}, got {described(item)}")
    if declared.datatype == BYTES:
        return _shaped(flat, shape)
    try:
        # As read: what a number may be is the operation's to say. Booleans are never asked for.
        return np.array(flat, dtype=np.int64 if float not in kinds else np.float64).reshape(shape)
    except OverflowError:
        raise invalid(pointer, f"a number is beyond {declared.datatype}") from None


def read_raw(declared: Declared, data: memoryview) -> Any:
    """An array over the same memory where it lies well, or a list of strings. Raises Problem."""
    pointer = declared.pointer
    if declared.datatype == BYTES:
        return _shaped(_strings(declared, data), declared.shape)
    dtype = np.dtype(NUMPY[declared.datatype])
    if declared.size * dtype.itemsize != len(data):
        expected = f"shape {list(declared.shape)} of {declared.datatype} takes {declared.size * dtype.itemsize} bytes"
        raise malformed(f"{spoken(pointer)}: {expected}, there are {len(data)}", "tensor", pointer)
    array = np.frombuffer(data, dtype=dtype).reshape(declared.shape)
    return np.require(array, dtype=dtype.newbyteorder("="), requirements="A")


def _strings(declared: Declared, data: memoryview) -> list[str]:
    pointer, found, cursor = declared.pointer, [], 0
    for place in range(declared.size):
        start = cursor + _LENGTH.size
        end = start + _LENGTH.unpack_from(data, cursor)[0] if start <= len(data) else len(data) + 1
        if end > len(data):
            raise malformed(f"{spoken(pointer)}: byte string {place} does not end here", "tensor", pointer)
        try:
            found.append(str(data[start:end], "utf-8"))
        except UnicodeDecodeError:
            raise invalid(pointer, f"byte string {place} is not UTF-8") from None
        cursor = end
    if cursor != len(data):
        detail = f"{declared.size} byte strings end after {cursor} bytes, there are {len(data)}"
        raise malformed(f"{spoken(pointer)}: {detail}", "tensor", pointer)
    return found


def _flattened(data: Any, shape: tuple[int, ...], pointer: str) -> Sequence[Any]:
    """The elements, from a flat list of as many as there are or from lists nested as `shape` is."""
    if not isinstance(data, list):
        raise invalid(pointer, f"expected data as a list, got {described(data)}")
    size = prod(shape)
    if not data or not isinstance(data[0], list):
        if len(data) != size:
            raise invalid(pointer, f"shape {list(shape)} has {size} elements, data has {len(data)}")
        return data
    flat: Sequence[Any] = [data]
    for length in shape:
        if not all(isinstance(item, list) and len(item) == length for item in flat):
            raise invalid(pointer, f"expected data nested as its shape {list(shape)}, or as one flat list")
        flat = list(chain.from_iterable(flat))
    return flat


def _shaped(flat: Sequence[Any], shape: tuple[int, ...]) -> Any:
    """Strings stay a list where they have one axis; others are no input of any operation and are refused by shape."""
    return list(flat) if len(shape) == 1 else np.array(flat, dtype=np.object_).reshape(shape)


def raw(array: np.ndarray, datatype: str) -> bytes | memoryview:
    """The bytes of an output."""
    if datatype == BYTES:
        texts = [str(text).encode() for text in array.reshape(-1)]
        return b"".join(chain.from_iterable((_LENGTH.pack(len(text)), text) for text in texts))
    return np.ascontiguousarray(array, dtype=NUMPY[datatype]).reshape(-1).view(np.uint8).data


def listed(array: np.ndarray, datatype: str) -> Any:
    """The output for JSON: flat, in row-major order; what is not finite becomes null when it is written."""
    if datatype == BYTES:
        return array.reshape(-1).tolist()
    return np.ascontiguousarray(array, dtype=np.dtype(NUMPY[datatype]).newbyteorder("=")).reshape(-1)
