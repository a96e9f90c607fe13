"""Several arrays side by side in one block of bytes, so that one copy takes them all to the device or back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

import numpy as np

ALIGNMENT = 256  # bytes: what device memory is aligned to, so that kernels see the same alignment everywhere


@dataclass(frozen=True)
class Field:
    """One array: its name and its whole shape."""

    name: str
    shape: tuple[int, ...]
    dtype: type[np.generic]

    @property
    def nbytes(self) -> int:
        """Bytes that it takes."""
        return prod(self.shape) * np.dtype(self.dtype).itemsize


class Packing:
    """Where each field lies: one after the other, each at a multiple of `ALIGNMENT`; `places` are (start, end).

    >>> packing = Packing([Field("z", (3, 2), np.float32), Field("condition", (3,), np.int64)])
    >>> packing.size, packing.places
    (280, [(0, 24), (256, 280)])
    """

    def __init__(self, fields: Iterable[Field]) -> None:
        self.fields = tuple(fields)
        self.places: list[tuple[int, int]] = []
        self.size = 0
        for field in self.fields:
            start = aligned(self.size)
            self.size = start + field.nbytes
            self.places.append((start, self.size))

    def arrays(self, block: np.ndarray) -> list[np.ndarray]:
        """Views of a block of at least `size` bytes (uint8)."""
        return [
            block[start:end].view(field.dtype).reshape(field.shape)
            for field, (start, end) in zip(self.fields, self.places, strict=True)
        ]


def aligned(size: int) -> int:
    """The next multiple of `ALIGNMENT`."""
    return -(-size // ALIGNMENT) * ALIGNMENT
