"""What every engine does around its hardware: arrays checked and cast by the signature, both ways."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence

import numpy as np

from inference.drawn import Column
from inference.engine import Arrays, EngineError, Inputs
from inference.repeated import Repeated
from inference.shapes import input_dtype, input_shape, output_shape
from inference.told import Told
from model_store.signature import Operation, Signature


class ArrayEngine(ABC):
    """An engine of `signature`; subclasses say how one operation is computed on arrays in the signature's order."""

    device: str
    draws = False

    def __init__(self, signature: Signature) -> None:
        self.signature = signature
        self._columns = {
            operation: {
                name: (input_shape(signature, name), input_dtype(signature, name))
                for name in signature.inputs(operation)
            }
            for operation in signature.operations
        }

    @property
    def bytes(self) -> int:
        """What it takes of the device's memory between two runs; readable while others run it."""
        return self._held()

    def _held(self) -> int:
        """See `bytes`, whose name is a type's in signatures."""
        return 0

    @abstractmethod
    def compute(self, operation: Operation, feed: Inputs) -> Sequence[np.ndarray]:
        """The outputs in the signature's order. What is told is in `feed` only where the class `draws`.

        Raises EngineError and its subclasses.
        """

    def run(self, operation: Operation, inputs: Inputs) -> Arrays:
        """Answer one batch: floats as float32, labels as int64, integer data as uint8 (NaN becomes 0).

        Raises:
            EngineError: unknown operation, wrong inputs, a failure of the runtime, or the engine is closed.
            EngineOutOfMemory: there was no memory for the batch.
        """
        if operation not in self._columns:
            raise EngineError(f"no `{operation}` here")
        feed = self._feed(operation, inputs)
        outputs = self.compute(operation, feed)
        rows = len(next(iter(feed.values())))
        result: Arrays = {}
        for name, array in zip(self.signature.outputs(operation), outputs, strict=True):
            wanted = (rows, *output_shape(self.signature, operation, name))
            if array.shape != wanted:
                raise EngineError(f"{operation}: output {name} has shape {array.shape}, expected {wanted}")
            rounded = name == "x" and self.signature.data.is_integer and array.dtype != np.uint8
            result[name] = self._integers(array) if rounded else array
        return result

    def warm_up(self) -> None:  # noqa: B027
        """Do what makes later calls fast, for a service to wait for before it answers. Raises EngineError."""

    def prepare(self, operation: Operation) -> None:  # noqa: B027
        """Be ready for a call of `operation`. Raises EngineError."""

    def rest(self, keep: Collection[Operation]) -> None:  # noqa: B027
        """Give up the memory that only operations not in `keep` need, as far as it is theirs alone."""

    @abstractmethod
    def close(self) -> None:
        """Release memory. Idempotent; a run in progress ends well."""

    def _feed(self, operation: Operation, inputs: Inputs) -> Inputs:
        columns = self._columns[operation]
        if set(inputs) != set(columns):
            raise EngineError(f"{operation}: expected inputs {sorted(columns)}, got {sorted(inputs)}")
        feed: dict[str, Column] = {}
        for name, (shape, dtype) in columns.items():
            column = inputs[name]
            if isinstance(column, Told) and not self.draws:
                column = column.numbers()
            if isinstance(column, Repeated):
                column = column.astype(dtype)
            elif not isinstance(column, Told):
                column = np.ascontiguousarray(column, dtype=dtype)
            if column.shape[1:] != shape:
                raise EngineError(f"{operation}: input {name} has rows of shape {column.shape[1:]}, expected {shape}")
            feed[name] = column
        if len({len(array) for array in feed.values()}) > 1:
            raise EngineError(f"{operation}: inputs differ in rows: { {name: len(a) for name, a in feed.items()} }")
        return feed

    def _integers(self, array: np.ndarray) -> np.ndarray:
        clipped = np.clip(np.nan_to_num(np.rint(array), nan=0.0), 0, self.signature.data.levels - 1)
        return clipped.astype(np.uint8)
