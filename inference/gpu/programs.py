"""The programs of a version: made when first used, captured at warm-up or at the second use, fused where it pays."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from time import monotonic

import numpy as np

from inference.engine import EngineError, EngineLost, EngineOutOfMemory
from inference.gpu.buckets import Buckets, ladder, warm_order
from inference.gpu.feeders import ArrayFeeder
from inference.gpu.fusion import Function, Fusion, worth_it
from inference.gpu.lanes import Lane
from inference.gpu.outcomes import outcome
from inference.gpu.packing import Field, Packing
from inference.gpu.program import Program
from inference.shapes import input_shape, output_shape
from model_store.signature import LabelCondition, Operation, Signature

MOST_BYTES = 64 * 2**20  # of the inputs, and of the outputs, of one program: bounds buffers, not what can be asked
WARM_SECONDS = 10.0

_log = logging.getLogger("condflow.inference")


class Programs:
    """One program per (operation, bucket), on fixed buffers that all of them share.

    Args:
        signature: names, shapes and kinds of inputs and outputs.
        functions: of tensors, by operation.
        lane: where they run.
        most_rows: of one program at most; fewer where rows are so large that they pass `MOST_BYTES`.
        fixed_rows: the one bucket there is, where every call shall have that many rows; 0 for the usual ones.
        fusion: the compiler to try, or None.
    """

    def __init__(
        self,
        signature: Signature,
        functions: Mapping[Operation, Function],
        lane: Lane,
        *,
        most_rows: int,
        fixed_rows: int = 0,
        fusion: Fusion | None = None,
    ) -> None:
        self._signature, self._functions, self._lane, self._fusion = signature, functions, lane, fusion
        self._lock = threading.Lock()
        self._made: dict[tuple[Operation, int], Program] = {}
        self.buckets: dict[Operation, Buckets] = {}
        inward = outward = 0
        for operation in functions:
            fields = self._inputs(operation, 1), self._outputs(operation, 1)
            row_bytes = max(sum(field.nbytes for field in side) for side in fields)
            most = max(1, min(most_rows, MOST_BYTES // row_bytes))
            sizes = (fixed_rows,) if fixed_rows else ladder(most)
            self.buckets[operation] = Buckets(sizes)
            inward = max(inward, Packing(self._inputs(operation, sizes[-1])).size)
            outward = max(outward, Packing(self._outputs(operation, sizes[-1])).size)
        self._fixed = lane.fixed(inward), lane.fixed(outward)

    @property
    def nbytes(self) -> int:
        """Device memory of the fixed buffers, and what was captured."""
        return sum(buffer.numel() for buffer in self._fixed) + self._lane.pool_bytes

    def outputs(self, operation: Operation, rows: int) -> list[np.ndarray]:
        """Room for the answers to so many rows, in the signature's order."""
        return [np.empty(field.shape, field.dtype) for field in self._outputs(operation, rows)]

    def get(self, operation: Operation, bucket: int) -> Program:
        """The program for a call; captured when it is asked for the second time.

        What is asked for once is computed sooner than it is captured.
        """
        with self._lock:
            program = self._made.get((operation, bucket))
            if program is None:
                program = self._made[operation, bucket] = self._make(operation, bucket, self._functions[operation])
            program.calls += 1
        if program.calls > 1 and not program.captured:
            with self._lane.lock:
                program.capture()
        return program

    def prepare(self, seconds: float = WARM_SECONDS) -> None:
        """Capture, and try to fuse, what there is time for, the commonest batch sizes first.

        Where memory runs out, the operation's buckets shrink, as they do later. Raises EngineError where nothing works.
        """
        ends = monotonic() + seconds
        for operation, bucket in self._commonest_first():
            if monotonic() > ends:
                return
            if bucket <= self.buckets[operation].largest:
                self._prepare(operation, bucket)

    def failed(self, operation: Operation, bucket: int, error: EngineError) -> None:
        """After a call failed: where memory ran out, halve the operation's rows and release what can be made again."""
        if isinstance(error, EngineOutOfMemory):
            self.buckets[operation].shrink(bucket)
            self.forget()
            self._lane.release()

    def forget(self) -> None:
        """Free what was captured; programs in use end well."""
        with self._lock, self._lane.lock:
            for program in self._made.values():
                program.forget()
                program.calls = 0

    def _commonest_first(self) -> Iterator[tuple[Operation, int]]:
        orders = {operation: warm_order(buckets.allowed) for operation, buckets in self.buckets.items()}
        for round_ in zip_longest(*orders.values()):
            for operation, bucket in zip(orders, round_, strict=True):
                if bucket is not None:
                    yield operation, bucket

    def _prepare(self, operation: Operation, bucket: int) -> None:
        program = self._make(operation, bucket, self._functions[operation])
        try:
            with self._lane.lock:
                program.capture()
        except Exception as error:
            found = outcome(error, f"{operation} at {bucket} rows")
            self.failed(operation, bucket, found)
            if isinstance(found, EngineOutOfMemory) and bucket > 1:
                return
            raise found from error
        if self._fusion is not None and self._fusion.has_time:
            program = self._faster(program, operation, bucket, self._fusion)
        with self._lock:
            self._made[operation, bucket] = program

    def _faster(self, plain: Program, operation: Operation, bucket: int, fusion: Fusion) -> Program:
        """`plain`, or the same fused, whichever takes less; what cannot be compiled stays as it is."""
        try:
            fused = self._make(operation, bucket, fusion.compiler(self._functions[operation]))
            fused.fused = True
            with self._lane.lock:
                fused.capture()
                better = worth_it(self._lane.seconds(plain.call), self._lane.seconds(fused.call))
        except Exception as error:
            if isinstance(found := outcome(error, f"{operation} at {bucket} rows, fused"), EngineLost):
                raise found from error
            _log.warning("not fused: %s", found)
            return plain
        return fused if better else plain

    def _make(self, operation: Operation, bucket: int, function: Function) -> Program:
        feeders = [ArrayFeeder(f.name, bucket, f.shape[1:], f.dtype) for f in self._inputs(operation, bucket)]
        outputs, levels = self._outputs(operation, bucket), self._signature.data.levels
        return Program(function, feeders, outputs, self._fixed, levels, self._lane)

    def _inputs(self, operation: Operation, rows: int) -> list[Field]:
        labels = isinstance(self._signature.condition, LabelCondition)
        return [
            Field(
                name,
                (rows, *input_shape(self._signature, name)),
                np.int64 if labels and name == "condition" else np.float32,
            )
            for name in self._signature.inputs(operation)
        ]

    def _outputs(self, operation: Operation, rows: int) -> list[Field]:
        integers = self._signature.data.is_integer
        return [
            Field(
                name,
                (rows, *output_shape(self._signature, operation, name)),
                np.uint8 if integers and name == "x" else np.float32,
            )
            for name in self._signature.outputs(operation)
        ]
