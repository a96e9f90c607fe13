"""The rows of a step, always in the same memory: what a recorded step reads is what was loaded last."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from training.order import Order
from training.rows import Batch, Rows, batch


class Feed(Protocol):
    """`load` may run on the host and never waits for the device; `batch` only reads, on the device."""

    def load(self, step: int) -> None:
        """Let `batch` be that of a step."""

    def batch(self) -> Batch:
        """The rows loaded last."""


def feed(rows: Rows, order: Order) -> Feed:
    """As the rows lie: on their device, or on the host."""
    return Resident(rows, order) if rows.resident else Streamed(rows, order)


class Resident:
    """Rows on the device, gathered there. The order crosses the bus once per pass."""

    def __init__(self, rows: Rows, order: Order) -> None:
        self.rows, self.order = rows, order
        self.index = torch.zeros(order.batch, dtype=torch.int64, device=rows.device)
        self._pass = -1
        self._permutation = self.index

    def load(self, step: int) -> None:
        """Copy the step's part of the permutation, from the device to itself."""
        number, part = self.order.place(step)
        if number != self._pass:
            self._permutation, self._pass = self.order.permutation(number).to(self.rows.device), number
        self.index.copy_(self._permutation[part])

    def batch(self) -> Batch:
        """Gathered anew."""
        return self.rows.batch(self.index)


class Streamed:
    """Rows on the host, gathered into pinned memory and copied while the device still works at the step before.

    Two such places take turns, so that one is filled while the other is on its way.
    """

    def __init__(self, rows: Rows, order: Order) -> None:
        self.rows, self.order = rows, order
        self._staged = (_Staged(rows, order.batch), _Staged(rows, order.batch))
        self._here = [torch.empty_like(tensor, device=rows.device) for tensor in self._staged[0].tensors]

    def load(self, step: int) -> None:
        """Gather and copy; waits only if the copy of two steps ago is not done."""
        staged = self._staged[step % 2]
        staged.gather(self.rows, self.order(step))
        for here, tensor in zip(self._here, staged.tensors, strict=True):
            here.copy_(tensor, non_blocking=True)
        staged.sent()

    def batch(self) -> Batch:
        """As floats."""
        index, x, *condition = self._here
        return batch(x, condition[0] if condition else None, index)


class _Staged:
    """A batch on the host: row numbers, x, and the condition if there is one."""

    def __init__(self, rows: Rows, size: int) -> None:
        self._device = rows.device
        pinned = rows.device.type == "cuda"
        sources = [rows.x] if rows.condition is None else [rows.x, rows.condition]
        self.tensors = [torch.empty(size, dtype=torch.int64, pin_memory=pinned)]
        self.tensors += [torch.empty((size, *s.shape[1:]), dtype=s.dtype, pin_memory=pinned) for s in sources]
        self._copied: torch.cuda.Event | None = None

    def gather(self, rows: Rows, index: Tensor) -> None:
        """Fill, once what was here before has left."""
        if self._copied is not None:
            self._copied.synchronize()
        numbers, x, *condition = self.tensors
        numbers.copy_(index)
        torch.index_select(rows.x, 0, index, out=x)
        if rows.condition is not None:
            torch.index_select(rows.condition, 0, index, out=condition[0])

    def sent(self) -> None:
        """Note where in the device's work the copy is done."""
        if self._device.type == "cuda":
            self._copied = torch.cuda.Event()
            self._copied.record(torch.cuda.current_stream(self._device))
