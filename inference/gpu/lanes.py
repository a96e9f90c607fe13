"""Where the programs of a version run, and how bytes get there and back: `Lane`, and the one that is the CPU itself."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from time import perf_counter

import torch
from torch import Tensor, nn

Step = Callable[[], None]
TIMED_CALLS = 10


@dataclass(eq=False)
class Slot:
    """Host memory for one batch on its way: what goes in, and what comes out. One thread at a time holds it."""

    inward: Tensor
    outward: Tensor

    @property
    def nbytes(self) -> int:
        """Bytes held on the device."""
        return 0

    def holds(self, inward: int, outward: int) -> bool:
        """Whether it is large enough."""
        return self.inward.numel() >= inward and self.outward.numel() >= outward


class Lane(ABC):
    """A device, and the order of what is done on it.

    Programs read and write *fixed* buffers, which all programs of a version share: so one runs at a time, with its
    input put there before and its output taken away after it. `lock` is held while that is put in line.
    """

    device: torch.device
    lock: threading.Lock

    @abstractmethod
    def place(self, model: nn.Module) -> None:
        """Move the weights to the device."""

    @abstractmethod
    def fixed(self, size: int) -> Tensor:
        """So many bytes on the device, all zero."""

    @abstractmethod
    def slot(self) -> Slot:
        """A slot without room yet."""

    @abstractmethod
    def reserve(self, slot: Slot, inward: int, outward: int) -> None:
        """Make room for so many bytes in it."""

    @abstractmethod
    def exchange(self, slot: Slot, inward: Tensor, outward: Tensor, call: Step) -> None:
        """The slot's bytes into the fixed buffer `inward`, `call`, the fixed `outward` into the slot; wait for the end.

        Several threads may do so at once.
        """

    @abstractmethod
    def eager(self, step: Step) -> None:
        """Call `step` in Python. `lock` is held."""

    @abstractmethod
    def alone(self, *, wait: bool) -> AbstractContextManager[bool]:
        """What nobody else in the process does meanwhile; False: somebody does, and it was not to be waited for.

        Entered before `lock`, never while that is held.
        """

    @abstractmethod
    def capture(self, step: Step, inward: Tensor) -> Step | None:
        """What does the same as `step` faster, if there is such a thing. Calls it, with `inward` all zero.

        `lock` is held, `alone`.
        """

    @abstractmethod
    def settle(self) -> None:
        """Wait for what was put in line. `lock` is held."""

    @abstractmethod
    def seconds(self, call: Step) -> float:
        """What a call takes on the device. `lock` is held."""

    @abstractmethod
    def release(self) -> None:
        """Give memory back that nothing uses. Neither is `lock` held, nor `alone`."""

    @abstractmethod
    def close(self) -> None:
        """Nothing more will run here; as `release`."""

    @property
    @abstractmethod
    def pool_bytes(self) -> int:
        """Device memory that captured programs keep."""


class HostLane(Lane):
    """The CPU: slots and fixed buffers are plain memory, and nothing is captured."""

    pool_bytes = 0

    def __init__(self) -> None:
        self.device = torch.device("cpu")
        self.lock = threading.Lock()

    def place(self, model: nn.Module) -> None:
        """They are there."""

    def fixed(self, size: int) -> Tensor:
        """See Lane."""
        return torch.zeros(size, dtype=torch.uint8)

    def slot(self) -> Slot:
        """See Lane."""
        return Slot(self.fixed(0), self.fixed(0))

    def reserve(self, slot: Slot, inward: int, outward: int) -> None:
        """See Lane."""
        if not slot.holds(inward, outward):
            slot.inward, slot.outward = self.fixed(rounded(inward)), self.fixed(rounded(outward))

    def exchange(self, slot: Slot, inward: Tensor, outward: Tensor, call: Step) -> None:
        """See Lane."""
        with self.lock:
            inward.copy_(slot.inward[: inward.numel()])
            call()
            slot.outward[: outward.numel()].copy_(outward)

    def eager(self, step: Step) -> None:
        """See Lane."""
        with torch.no_grad():
            step()

    def alone(self, *, wait: bool) -> AbstractContextManager[bool]:
        """There is nothing that disturbs."""
        return nullcontext(True)

    def capture(self, step: Step, inward: Tensor) -> Step | None:
        """There is none; it shows whether it runs."""
        inward.zero_()
        self.eager(step)
        return None

    def settle(self) -> None:
        """It is done."""

    def seconds(self, call: Step) -> float:
        """The shortest of a few calls."""
        return min(_seconds(call) for _ in range(TIMED_CALLS))

    def release(self) -> None:
        """It is free already."""

    def close(self) -> None:
        """See Lane."""


def rounded(size: int) -> int:
    """The next power of two: room that grows so is made anew a few times at most.

    >>> rounded(5), rounded(8)
    (8, 8)
    """
    return 1 << max(size - 1, 0).bit_length()


def _seconds(call: Step) -> float:
    started = perf_counter()
    call()
    return perf_counter() - started
