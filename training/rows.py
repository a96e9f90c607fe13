"""A split as tensors: integers stay bytes in memory and become floats in the batch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from training.datasets.base import Split

Noise = tuple[Tensor, ...]


@dataclass(frozen=True)
class Batch:
    """Rows that one step sees: x (rows, *shape) float, the raw condition, and the row numbers."""

    x: Tensor
    condition: Tensor | None
    rows: Tensor


class Rows:
    """x and condition of a split, and the device that batches of them are on.

    The rows lie there themselves (`resident`), or stay on the host where they are too many. Memory-mapped arrays stay
    mapped on the CPU.
    """

    def __init__(self, x: Tensor, condition: Tensor | None, device: torch.device | None = None) -> None:
        self.x, self.condition = x, condition
        self.device = x.device if device is None else device

    @staticmethod
    def of(split: Split) -> Rows:
        """The tensors share memory with the arrays."""
        return Rows(_shared(split.x), None if split.condition is None else _shared(split.condition))

    def __len__(self) -> int:
        return len(self.x)

    @property
    def nbytes(self) -> int:
        """What the rows take."""
        return self.x.nbytes + (0 if self.condition is None else self.condition.nbytes)

    @property
    def resident(self) -> bool:
        """Whether they lie on their device."""
        return self.x.device == self.device

    def to(self, device: torch.device, resident: bool = True) -> Rows:
        """For a device, and there too unless `resident` is false; the same object where nothing changes."""
        if self.x.device == self.device == device:
            return self
        if not resident:
            return Rows(self.x, self.condition, device)
        return Rows(self.x.to(device), None if self.condition is None else self.condition.to(device))

    def batch(self, rows: Tensor) -> Batch:
        """Gather rows: bytes become float32 with the same values."""
        rows = rows.to(self.x.device)
        return self._batch(self.x[rows], None if self.condition is None else self.condition[rows], rows)

    def slice(self, start: int, stop: int) -> Batch:
        """Consecutive rows."""
        rows = torch.arange(start, min(stop, len(self)), device=self.device)
        return self._batch(self.x[start:stop], None if self.condition is None else self.condition[start:stop], rows)

    def _batch(self, x: Tensor, condition: Tensor | None, rows: Tensor) -> Batch:
        there = None if condition is None else condition.to(self.device)
        return batch(x.to(self.device), there, rows.to(self.device))


def batch(x: Tensor, condition: Tensor | None, rows: Tensor) -> Batch:
    """What lies in memory as a step sees it: floats, but labels as they are."""
    return Batch(_float(x), _raw(condition), rows)


def _float(x: Tensor) -> Tensor:
    return x if x.is_floating_point() else x.float()


def _raw(condition: Tensor | None) -> Tensor | None:
    """Labels stay int64, image bytes become floats."""
    return condition.float() if condition is not None and condition.dtype == torch.uint8 else condition


def _shared(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array if array.flags.writeable else array.copy())
