"""Several arrays side by side in one block of bytes, so that one copy takes them all to the device or back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

import numpy as np

ALIGNMENT = 256  # bytes: what device memory is aligned to, so that kernels see the same alignment everywhere


@dataclass(frozen=True)
class Field:
    """One array: its name and its whole shape, rows first."""

    name: str
    shape: tuple[int, ...]
    dtype: type[np.generic]

    @property
    def nbytes(self) -> int:
        """Bytes that it takes."""
        return prod(self.shape) * np.dtype(self.dtype).itemsize


class Packing:
    """Where each field lies: one after the other, each at a multiple of `ALIGNMENT`.

    >>> packing = Packing([Field("z", (3, 2), np.float32), Field("condition", (3,), np.int64)])
    >>> packing.size, packing.places["condition"]
    (280, (256, 280))
    """

    def __init__(self, fields: Iterable[Field]) -> None:
        self.fields = tuple(fields)
        self.places: dict[str, tuple[int, int]] = {}
        end = 0
        for field in self.fields:
            start = -(-end // ALIGNMENT) * ALIGNMENT
            end = start + field.nbytes
            self.places[field.name] = (start, end)
        self.size = end

    def arrays(self, block: np.ndarray) -> dict[str, np.ndarray]:
        """Views of a block of at least `size` bytes (uint8)."""
        return {
            field.name: block[slice(*self.places[field.name])].view(field.dtype).reshape(field.shape)
            for field in self.fields
        }
