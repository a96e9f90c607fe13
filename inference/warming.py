"""First calls of a version: they pay what only first calls cost, and tell what later ones will."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from inference.engine import Arrays
from inference.loaded import Loaded
from inference.shapes import input_shape
from model_store.signature import LabelCondition, Operation, Signature

SIZES = (1, 1, 64, 1)


@dataclass(frozen=True)
class Call:
    """One engine call and the seconds that it took."""

    operation: Operation
    rows: int
    seconds: float


def warm(loaded: Loaded) -> Iterator[Call]:
    """Prepare the engine, call each operation on rows of zeros; its first call is not told. Raises EngineError."""
    loaded.engine.warm_up()
    for operation in loaded.signature.operations:
        for place, rows in enumerate(SIZES):
            inputs = _zeros(loaded.signature, operation, rows)
            started = perf_counter()
            loaded.engine.run(operation, inputs)
            if place:
                yield Call(operation, rows, perf_counter() - started)


def _zeros(signature: Signature, operation: Operation, rows: int) -> Arrays:
    """Engines take any numeric type for images and parts; labels are whole."""
    labels = isinstance(signature.condition, LabelCondition)
    return {
        name: np.zeros(
            (rows, *input_shape(signature, name)), np.int64 if name == "condition" and labels else np.float32
        )
        for name in signature.inputs(operation)
    }
