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
    """x and condition of a split on one device. Memory-mapped arrays stay mapped on the CPU."""

    def __init__(self, x: Tensor, condition: Tensor | None) -> None:
        self.x, self.condition = x, condition

    @staticmethod
    def of(split: Split) -> Rows:
        """The tensors share memory with the arrays."""
        return Rows(_shared(split.x), None if split.condition is None else _shared(split.condition))

    def __len__(self) -> int:
        return len(self.x)

    def to(self, device: torch.device) -> Rows:
        """On a device; the same object where it is there already."""
        if self.x.device == device:
            return self
        return Rows(self.x.to(device), None if self.condition is None else self.condition.to(device))

    def batch(self, rows: Tensor) -> Batch:
        """Gather rows: bytes become float32 with the same values."""
        rows = rows.to(self.x.device)
        condition = None if self.condition is None else self.condition[rows]
        return Batch(_float(self.x[rows]), _raw(condition), rows)

    def slice(self, start: int, stop: int) -> Batch:
        """Consecutive rows."""
        condition = None if self.condition is None else self.condition[start:stop]
        rows = torch.arange(start, min(stop, len(self)), device=self.x.device)
        return Batch(_float(self.x[start:stop]), _raw(condition), rows)


def _float(x: Tensor) -> Tensor:
    return x if x.is_floating_point() else x.float()


def _raw(condition: Tensor | None) -> Tensor | None:
    """Labels stay int64, image bytes become floats."""
    return condition.float() if condition is not None and condition.dtype == torch.uint8 else condition


def _shared(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array if array.flags.writeable else array.copy())
