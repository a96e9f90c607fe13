"""How one input of a program gets there: what is written on the host, and what makes the tensor on the device."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from torch import Tensor

from inference.device_noise import COLUMNS, DeviceNoise, run_table
from inference.gpu.packing import Field
from model_store.signature import Part


class Feeder(Protocol):
    """One input: the field that travels for it, how that is written, and the tensor that is made of it."""

    field: Field

    def write(self, target: np.ndarray, value: Any) -> None:
        """Write the rows of `value`, and after them, up to the bucket, rows that harm nobody."""
        ...

    def tensor(self, raw: Tensor) -> Tensor:
        """The input, rows of the whole bucket, from the field on the device: the first nodes of the program."""
        ...


class ArrayFeeder:
    """The rows themselves; the last one is repeated up to the bucket, since it is known to be one that may be."""

    def __init__(self, field: Field) -> None:
        self.field = field

    def write(self, target: np.ndarray, value: np.ndarray) -> None:
        """See Feeder."""
        target[: len(value)] = value
        target[len(value) :] = value[-1]

    def tensor(self, raw: Tensor) -> Tensor:
        """See Feeder."""
        return raw


class DrawnFeeder:
    """What says which numbers the rows are, at most so many runs of them; they are drawn on the device."""

    def __init__(self, part: Part, rows: int, runs: int, noise: DeviceNoise) -> None:
        self._part, self._rows, self._runs, self._noise = part, rows, runs, noise
        self.field = Field(part.name, (COLUMNS, runs), np.int64)

    def write(self, target: np.ndarray, value: Any) -> None:
        """See Feeder; `value` is a `Drawn`."""
        target[:] = run_table(value, self._runs)

    def tensor(self, raw: Tensor) -> Tensor:
        """See Feeder; rows past the last run are of no meaning, but finite."""
        return self._noise.numbers(raw, self._rows, self._part)
