"""The seam between a version and the hardware: an engine maps named arrays to named arrays, rows first."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

import numpy as np

from inference.drawn import Column
from model_store.signature import Operation

Arrays = dict[str, np.ndarray]
Inputs = Mapping[str, Column]


class EngineError(RuntimeError):
    """The engine failed on a batch; the batch may be retried member by member."""


class EngineOutOfMemory(EngineError):
    """The batch was too large for the device; a smaller one may succeed."""


class EngineLost(EngineError):
    """The device is gone for good (sticky error); only a new process helps."""


class Engine(Protocol):
    """Runs the pure functions of one version.

    `run("decode", {"z": (n, K), "condition": (n,)})` returns `{"x": (n, *data shape)}`; names and order come from
    `Signature.inputs` and `Signature.outputs`. All floating arrays are float32, label conditions int64. Integer
    images go in as any numeric dtype and come out as uint8. Thread-safe.
    """

    @property
    def device(self) -> str:
        """`cpu`, or `cuda:0`."""
        ...

    @property
    def bytes(self) -> int:
        """What it takes of the device's memory between two runs."""
        ...

    @property
    def draws(self) -> bool:
        """Whether it takes a `Drawn`, of any number of runs, in the place of a part of the noise, and draws it itself.

        And a `Repeated` in the place of the condition, which it repeats itself.
        It computes rows of one kind in one call: a column is all told or all given. One that does not is given arrays.
        """
        ...

    def run(self, operation: Operation, inputs: Inputs) -> Arrays:
        """Answer one batch. Raises EngineError."""
        ...

    def warm_up(self) -> None:
        """Do what makes later calls fast; nothing where they are. Raises EngineError."""
        ...

    def prepare(self, operation: Operation) -> None:
        """Do what an operation's first call would wait for, so that it costs what later ones do. Raises EngineError."""
        return

    def rest(self, keep: Collection[Operation]) -> None:
        """Give up memory of operations that are not in `keep`; they still answer, but wait for it once."""
        return

    def close(self) -> None:
        """Release the device memory. Idempotent."""
        ...
