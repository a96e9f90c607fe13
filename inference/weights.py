"""Reading safetensors from bytes: the header is checked to the last offset before a tensor is looked at."""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from inference.errors import MalformedWeights, NonFiniteWeight

_DTYPES = {"F32": "<f4", "F64": "<f8", "I64": "<i8", "I32": "<i4", "U8": "|u1", "BOOL": "|b1"}
_LARGEST_HEADER = 8 << 20


@dataclass(frozen=True)
class Tensor:
    """One entry: `offset` is absolute in the file."""

    key: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    length: int


@dataclass(frozen=True)
class Tensors:
    """A safetensors file in memory and its entries by key."""

    content: bytes
    entries: dict[str, Tensor]

    def array(self, key: str) -> np.ndarray:
        """The tensor as a read-only view of the file's bytes."""
        entry = self.entries[key]
        flat = np.frombuffer(self.content, dtype=_DTYPES[entry.dtype], count=prod(entry.shape), offset=entry.offset)
        return flat.reshape(entry.shape)

    def check_finite(self, path: str) -> None:
        """Raise NonFiniteWeight if any floating tensor holds NaN or an infinity."""
        for key, entry in self.entries.items():
            if entry.dtype.startswith("F") and not np.isfinite(self.array(key)).all():
                raise NonFiniteWeight(f"tensor {key!r} holds NaN or an infinity", path)


def read_tensors(content: bytes, path: str) -> Tensors:
    """Parse the header and check it: known dtypes, non-negative shapes, lengths that fit them, no gap and no overlap.

    Raises:
        MalformedWeights: the file is anything else.
    """

    def refuse(message: str) -> MalformedWeights:
        return MalformedWeights(message, path)

    if len(content) < 8:
        raise refuse("shorter than its length field")
    size = int.from_bytes(content[:8], "little")
    if size > min(_LARGEST_HEADER, len(content) - 8):
        raise refuse(f"header of {size} bytes does not fit")
    try:
        header = json.loads(content[8 : 8 + size].decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise refuse(f"header is not JSON: {error}") from None
    if not isinstance(header, dict):
        raise refuse("header is not an object")
    header.pop("__metadata__", None)
    entries = {key: _entry(key, value, 8 + size, path) for key, value in header.items()}
    expected = 8 + size
    for entry in sorted(entries.values(), key=lambda entry: (entry.offset, entry.length)):
        if entry.offset != expected:
            raise refuse(f"tensor {entry.key!r} starts at {entry.offset}, the one before ends at {expected}")
        expected += entry.length
    if expected != len(content):
        raise refuse(f"tensors end at byte {expected} of {len(content)}")
    return Tensors(content, entries)


def _entry(key: str, value: Any, base: int, path: str) -> Tensor:
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        raise MalformedWeights(f"tensor {key!r}: expected dtype, shape and data_offsets", path)
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise MalformedWeights(f"tensor {key!r}: dtype {dtype!r} is not one of {', '.join(_DTYPES)}", path)
    if not _whole_numbers(shape) or not _whole_numbers(offsets) or len(offsets) != 2 or len(shape) > 8:
        raise MalformedWeights(f"tensor {key!r}: shape or data_offsets are not whole numbers", path)
    begin, end = offsets
    if end - begin != prod(shape) * np.dtype(_DTYPES[dtype]).itemsize:
        raise MalformedWeights(f"tensor {key!r}: {end - begin} bytes do not hold {dtype} of shape {shape}", path)
    return Tensor(key, dtype, tuple(shape), base + begin, end - begin)


def _whole_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int and 0 <= item < 2**48 for item in value)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError("a key appears twice")
    return content
