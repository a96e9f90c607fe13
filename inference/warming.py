"""First calls of a version: they pay what only first calls cost, and tell what later ones will."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from time import perf_counter

from inference.loaded import Loaded
from inference.shapes import zeros
from model_store.signature import Operation

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
            inputs = zeros(loaded.signature, operation, rows)
            started = perf_counter()
            loaded.engine.run(operation, inputs)
            if place:
                yield Call(operation, rows, perf_counter() - started)
