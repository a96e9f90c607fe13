"""The programs of a version: made when first used, captured at warm-up or at the second use, fused where it pays."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from time import monotonic

import numpy as np

from inference.drawing import ALIGNMENT
from inference.drawn import Column
from inference.engine import EngineError, EngineLost, EngineOutOfMemory
from inference.gpu.buckets import Buckets, warm_order
from inference.gpu.fields import Fields
from inference.gpu.fusion import Function, Fusion, worth_it
from inference.gpu.lanes import Lane
from inference.gpu.outcomes import outcome
from inference.gpu.program import Program, fed
from inference.told import Told
from model_store.signature import Operation

RUNS = (16, 256)  # sizes of the tables that tell what rows are; calls of more runs are cut into several
WARM_SECONDS = 10.0

_log = logging.getLogger("condflow.inference")


@dataclass(frozen=True)
class Key:
    """What a program is made for; `runs`: for each input the size of its table, 0 where its rows are given."""

    operation: Operation
    bucket: int
    runs: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.operation} of {self.bucket} rows"


class Programs:
    """One program per key, on fixed buffers that all of them share.

    Args:
        fields: what goes in and out.
        functions: of tensors, by operation.
        lane: where they run.
        buckets: by operation.
        fusion: the compiler to try, or None.

    Attributes:
        nbytes: device memory of the fixed buffers, and of what was captured. Written by who captures or releases;
            whoever reads it waits for nobody.
    """

    def __init__(
        self,
        fields: Fields,
        functions: Mapping[Operation, Function],
        lane: Lane,
        buckets: Mapping[Operation, Buckets],
        fusion: Fusion | None = None,
    ) -> None:
        self._fields, self._functions, self._lane, self._fusion = fields, functions, lane, fusion
        self.buckets = buckets
        self._lock = threading.Lock()
        self._made: dict[Key, Program] = {}
        inward, outward = fields.most_bytes({name: own.largest for name, own in buckets.items()}, RUNS[-1])
        self._fixed = lane.fixed(inward), lane.fixed(outward)
        with lane.lock:
            self._measure()

    def _measure(self) -> None:
        """Look at what programs take. The lane's lock is held: none of them is being captured meanwhile."""
        self.nbytes = sum(buffer.numel() for buffer in self._fixed) + self._lane.pool_bytes

    def slices(self, operation: Operation, values: list[Column]) -> Iterator[tuple[int, int, Key]]:
        """(start, stop, key) of each program call of a batch, in order."""
        rows, start = len(values[0]), 0
        while start < rows:
            stop = min(rows, start + self.buckets[operation].largest)
            stop, runs = _within(values, start, stop, RUNS[-1])
            table = RUNS[0] if runs <= RUNS[0] else RUNS[-1]
            told = tuple(table if isinstance(value, Told) else 0 for value in values)
            yield start, stop, Key(operation, self.buckets[operation].of(stop - start), told)
            start = stop

    def get(self, key: Key) -> Program:
        """The program for a call; captured when it is asked for the second time, or later where that would wait.

        What is asked for once is computed sooner than it is captured.
        """
        with self._lock:
            program = self._made.get(key)
            if program is None:
                program = self._made[key] = self._make(key)
            program.calls += 1
        if program.calls > 1 and not program.captured:
            with self._lane.alone(wait=False) as granted:
                if granted:
                    with self._lane.lock:
                        program.capture()
                        self._measure()
        return program

    def prepare(self, seconds: float = WARM_SECONDS) -> None:
        """Capture what there is time for, the commonest batch sizes first; then fuse what the compiler has time for.

        Where memory runs out, the operation's buckets shrink, as they do later. Raises EngineError where nothing works.
        """
        ends = monotonic() + seconds
        captured = []
        for key in self._commonest_first():
            if monotonic() > ends:
                break
            if key.bucket <= self.buckets[key.operation].largest and self._capture(key):
                captured.append(key)
        fusion = self._fusion
        for key in captured:
            if fusion is None or not fusion.has_time:
                break
            self._fuse(key, fusion)
        with self._lane.lock:
            self._measure()

    def failed(self, key: Key, error: EngineError) -> None:
        """After a call failed: where memory ran out, halve the operation's rows and release what can be made again."""
        if isinstance(error, EngineOutOfMemory):
            self.buckets[key.operation].shrink(key.bucket)
            self.forget()
            self._lane.release()
            with self._lane.lock:
                self._measure()

    def forget(self) -> None:
        """Free what was captured; calls in progress end well."""
        with self._lock, self._lane.lock:
            self._lane.settle()
            for program in self._made.values():
                program.forget()

    def _commonest_first(self) -> Iterator[Key]:
        """By rank of the batch size; the largest also with its noise told, which is how long draws come."""
        orders = {operation: warm_order(buckets.allowed) for operation, buckets in self.buckets.items()}
        for sizes in zip_longest(*orders.values()):
            for operation, bucket in zip(orders, sizes, strict=True):
                if bucket is None:
                    continue
                told = self._fields.told(operation, RUNS[0])
                yield Key(operation, bucket, tuple(0 for _ in told))
                if operation == "decode" and bucket == self.buckets[operation].largest:
                    yield Key(operation, bucket, told)

    def _capture(self, key: Key) -> bool:
        """Whether memory sufficed."""
        program = self._make(key)
        try:
            with self._lane.alone(wait=True), self._lane.lock:
                program.capture()
        except EngineError as error:
            self.failed(key, error)
            if isinstance(error, EngineOutOfMemory) and key.bucket > 1:
                return False
            raise
        with self._lock:
            self._made[key] = program
        return True

    def _fuse(self, key: Key, fusion: Fusion) -> None:
        """Take the fused program where it is the faster one; what cannot be compiled stays as it is."""
        plain = self._made[key]
        try:
            fused = self._make(key, fusion)
            with self._lane.alone(wait=True), self._lane.lock:
                fused.capture()
                better = worth_it(self._lane.seconds(plain.call), self._lane.seconds(fused.call))
        except Exception as error:
            if isinstance(found := outcome(error, f"{key}, fused"), EngineLost):
                raise found  # noqa: B904 (it names its cause)
            _log.warning("not fused: %s", found)
            return
        with self._lock:
            self._made[key] = fused if better else plain

    def _make(self, key: Key, fusion: Fusion | None = None) -> Program:
        feeders = self._fields.feeders(key.operation, key.bucket, key.runs)
        function = fed(self._functions[key.operation], feeders)
        return Program(
            str(key),
            function if fusion is None else fusion.compiler(function),
            feeders,
            self._fields.outputs(key.operation, key.bucket),
            self._fixed,
            self._fields.levels,
            self._lane,
            fused=fusion is not None,
        )


def _within(values: list[Column], start: int, stop: int, most: int) -> tuple[int, int]:
    """The last row up to `stop` until which no column has more than `most` runs, and how many the most has.

    Where runs cut rows off, so many stay as are a multiple of `ALIGNMENT`: a row keeps its place modulo it.
    """
    told = [value for value in values if isinstance(value, Told)]
    reached = min((value.row_after(start, most) for value in told), default=stop)
    if reached < stop:
        stop = start + (max((reached - start) // ALIGNMENT * ALIGNMENT, 0) or reached - start)
    return stop, max((value.runs_met(start, stop) for value in told), default=0)


def empty(fields: Fields, operation: Operation, rows: int) -> list[np.ndarray]:
    """Room for the answers to so many rows, in the signature's order."""
    return [np.empty(field.shape, field.dtype) for field in fields.outputs(operation, rows)]
