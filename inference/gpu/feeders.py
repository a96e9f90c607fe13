"""How one input of a program gets there: what is written on the host, and what makes the tensor on the device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from torch import Tensor

from inference.gpu.packing import Field


class Feeder(Protocol):
    """One input: the fields that travel for it, how they are written, and the tensor that is made of them."""

    fields: tuple[Field, ...]

    def write(self, arrays: Mapping[str, np.ndarray], value: np.ndarray, start: int, stop: int) -> None:
        """Write rows [start, stop) of the input's value, and after them rows that harm nobody."""
        ...

    def tensor(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """The input, rows of the whole bucket, from the fields on the device: the first node of the program."""
        ...


class ArrayFeeder:
    """The rows themselves; the last one is repeated up to the bucket, since it is known to be one that may be."""

    def __init__(self, name: str, rows: int, shape: tuple[int, ...], dtype: type[np.generic]) -> None:
        self._name = name
        self.fields = (Field(name, (rows, *shape), dtype),)

    def write(self, arrays: Mapping[str, np.ndarray], value: np.ndarray, start: int, stop: int) -> None:
        """See Feeder."""
        target, rows = arrays[self._name], stop - start
        target[:rows] = value[start:stop]
        target[rows:] = value[stop - 1]

    def tensor(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """See Feeder."""
        return tensors[self._name]
