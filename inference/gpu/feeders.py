"""How one input of a program gets there: what is written on the host, and what makes the tensor on the device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from inference.device_noise import COLUMNS, DeviceNoise, run_table
from inference.gpu.packing import Field
from inference.repeated import Repeated
from model_store.signature import Part


class Feeder(Protocol):
    """One input: the fields that travel for it, how they are written, and the tensor that is made of them."""

    fields: tuple[Field, ...]

    def write(self, targets: Sequence[np.ndarray], value: Any) -> None:
        """Write the rows of `value`, and after them, up to the bucket, rows that harm nobody."""
        ...

    def tensor(self, raw: Sequence[Tensor]) -> Tensor:
        """The input, rows of the whole bucket, from the fields on the device: the first nodes of the program."""
        ...


class ArrayFeeder:
    """The rows themselves; the last one is repeated up to the bucket, since it is known to be one that may be."""

    def __init__(self, field: Field) -> None:
        self.fields: tuple[Field, ...] = (field,)

    def write(self, targets: Sequence[np.ndarray], value: np.ndarray) -> None:
        """See Feeder."""
        _fill(targets[0], value)

    def tensor(self, raw: Sequence[Tensor]) -> Tensor:
        """See Feeder."""
        return raw[0]


class DrawnFeeder:
    """What says which numbers the rows are, at most so many runs of them; they are drawn on the device."""

    def __init__(self, part: Part, rows: int, runs: int, noise: DeviceNoise) -> None:
        self._part, self._rows, self._runs, self._noise = part, rows, runs, noise
        self.fields: tuple[Field, ...] = (Field(part.name, (COLUMNS, runs), np.int64),)

    def write(self, targets: Sequence[np.ndarray], value: Any) -> None:
        """See Feeder; `value` is a `Drawn`."""
        targets[0][:] = run_table(value, self._runs)

    def tensor(self, raw: Sequence[Tensor]) -> Tensor:
        """See Feeder; rows past the last run are of no meaning, but finite."""
        return self._noise.numbers(raw[0], self._rows, self._part)


class RepeatedFeeder:
    """The rows that are repeated, at most so many of them, and the row behind each run; the last one to the bucket."""

    def __init__(self, field: Field, runs: int) -> None:
        self._rows, self._runs = field.shape[0], runs
        values = Field(field.name, (runs, *field.shape[1:]), field.dtype)
        self.fields: tuple[Field, ...] = (values, Field(f"{field.name}.ends", (runs,), np.int64))

    def write(self, targets: Sequence[np.ndarray], value: Repeated) -> None:
        """See Feeder."""
        values, ends = targets
        _fill(values, value.values)
        _fill(ends, value.ends)

    def tensor(self, raw: Sequence[Tensor]) -> Tensor:
        """See Feeder."""
        values, ends = raw
        row = torch.arange(self._rows, device=ends.device)
        run = torch.searchsorted(ends, row, right=True).clamp(max=self._runs - 1)
        return values.index_select(0, run)


def _fill(target: np.ndarray, rows: np.ndarray) -> None:
    target[: len(rows)] = rows
    target[len(rows) :] = rows[-1]
