"""What goes into the programs of a signature and comes out of them, at any number of rows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from inference.device_noise import DeviceNoise
from inference.gpu.buckets import Buckets, ladder
from inference.gpu.feeders import ArrayFeeder, DrawnFeeder, Feeder, RepeatedFeeder
from inference.gpu.packing import Field, Packing, aligned
from inference.shapes import input_dtype, input_shape, output_shape
from model_store.signature import Operation, Part, Signature

MOST_BYTES = 64 * 2**20  # of the inputs, and of the outputs, of one program: bounds buffers, not what can be asked


class Fields:
    """Of the operations of `signature`; `noise` draws what is told rather than given."""

    def __init__(self, signature: Signature, noise: DeviceNoise) -> None:
        self._signature, self._noise = signature, noise
        self._parts: dict[str, Part] = {part.name: part for part in (*signature.latent, *signature.noise)}

    @property
    def levels(self) -> int:
        """Of integer data."""
        return self._signature.data.levels

    def inputs(self, operation: Operation, rows: int) -> list[Field]:
        """Inputs whose rows are given, in the signature's order."""
        signature = self._signature
        return [
            Field(name, (rows, *input_shape(signature, name)), input_dtype(signature, name))
            for name in signature.inputs(operation)
        ]

    def outputs(self, operation: Operation, rows: int) -> list[Field]:
        """In the signature's order; integer data as uint8, which is a quarter of the bytes."""
        signature = self._signature
        return [
            Field(
                name,
                (rows, *output_shape(signature, operation, name)),
                np.uint8 if signature.data.is_integer and name == "x" else np.float32,
            )
            for name in signature.outputs(operation)
        ]

    def told(self, operation: Operation, runs: int) -> tuple[int, ...]:
        """`runs` for each input that may be told, 0 for the others."""
        tellable = {"condition", *self._parts}
        return tuple(runs if name in tellable else 0 for name in self._signature.inputs(operation))

    def feeders(self, operation: Operation, rows: int, runs: tuple[int, ...]) -> list[Feeder]:
        """One for each input: told by a table of so many runs, or given where that is 0."""
        return [self._feeder(field, size) for field, size in zip(self.inputs(operation, rows), runs, strict=True)]

    def _feeder(self, field: Field, runs: int) -> Feeder:
        rows, part = field.shape[0], self._parts.get(field.name)
        if not runs:
            return ArrayFeeder(field)
        if part is not None:
            return DrawnFeeder(part, rows, runs, self._noise)
        return RepeatedFeeder(field, min(runs, rows))

    def buckets(self, operation: Operation, most_rows: int, fixed_rows: int) -> Buckets:
        """Up to `most_rows`, or to the rows that `MOST_BYTES` hold; with `fixed_rows` that one alone."""
        if fixed_rows:
            return Buckets((fixed_rows,))
        row = max(sum(f.nbytes for f in side) for side in (self.inputs(operation, 1), self.outputs(operation, 1)))
        return Buckets(ladder(max(1, min(most_rows, MOST_BYTES // row))))

    def most_bytes(self, rows: Mapping[Operation, int], runs: int) -> tuple[int, int]:
        """Bytes of the inputs, and of the outputs, of the largest program of so many rows and runs."""
        inward = outward = 0
        for operation, most in rows.items():
            told = self.told(operation, runs)
            given = tuple(0 for _ in told)
            ways = zip(self.feeders(operation, most, given), self.feeders(operation, most, told), strict=True)
            inward = max(inward, sum(aligned(max(Packing(feeder.fields).size for feeder in way)) for way in ways))
            outward = max(outward, Packing(self.outputs(operation, most)).size)
        return inward, outward
