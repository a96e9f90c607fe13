"""Batch buckets: the few batch sizes that programs are made for, and the rows that one program may have."""

from __future__ import annotations

from bisect import bisect_left
from threading import Lock

REGROW_AFTER = 64  # calls of the largest bucket allowed that went well, after which the next one is tried again


def ladder(most: int) -> tuple[int, ...]:
    """1, 2, 3, 4, 6, 8, 12, 16, 24, ...: powers of two and their halves' triples, up to `most`, which is the last.

    The padding of n rows to the next of them wastes (bucket - n) / bucket < 1/3: a step is at most one half.

    >>> ladder(20)
    (1, 2, 3, 4, 6, 8, 12, 16, 20)
    """
    if most < 1:
        raise ValueError(f"most: expected at least one row, got {most}")
    steps = sorted({size for power in range(most.bit_length()) for size in (1 << power, 3 << power >> 1)})
    return (*(size for size in steps if size < most), most)


class Buckets:
    """The buckets of one operation, and the largest that memory has room for now.

    A batch above that is computed in slices of it. `shrink` halves it after memory ran out; it grows back one bucket
    after `REGROW_AFTER` calls of that size that went well, since what took the memory may be gone.
    """

    def __init__(self, sizes: tuple[int, ...]) -> None:
        self._sizes = sizes
        self._allowed = len(sizes)
        self._well = 0
        self._lock = Lock()

    @property
    def allowed(self) -> tuple[int, ...]:
        """The buckets in use, smallest first."""
        return self._sizes[: self._allowed]

    @property
    def largest(self) -> int:
        """Rows of one program at most."""
        return self._sizes[self._allowed - 1]

    def of(self, rows: int) -> int:
        """The smallest bucket that holds so many rows, 1 <= rows <= `largest`."""
        return self._sizes[bisect_left(self._sizes, rows)]

    def shrink(self, bucket: int) -> None:
        """Memory ran out in a call of that bucket: allow half of it from now on, the smallest one in any case."""
        fitting = sum(size <= bucket // 2 for size in self._sizes)
        with self._lock:
            self._well = 0
            self._allowed = max(1, min(self._allowed, fitting))

    def went_well(self, bucket: int) -> None:
        """A call of that bucket succeeded."""
        if self._allowed == len(self._sizes) or bucket < self.largest:
            return
        with self._lock:
            self._well += 1
            if self._well >= REGROW_AFTER and self._allowed < len(self._sizes):
                self._allowed, self._well = self._allowed + 1, 0


def warm_order(sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Which to prepare first, where time may run out: the smallest, the largest, then upwards.

    Single rows are what waits for its answer, the largest is what long draws are made of.

    >>> warm_order((1, 2, 3, 4))
    (1, 4, 2, 3)
    """
    return tuple(dict.fromkeys((sizes[0], sizes[-1], *sizes)))
