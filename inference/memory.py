"""Whether freed memory goes back to the system: at once in a service, not at all in a fit. No effect but with glibc."""

from __future__ import annotations

import ctypes
from contextlib import suppress

LARGE_BYTES = 2 * 2**20
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_LARGEST_MMAP_THRESHOLD = 2**25


def give_back() -> None:
    """Return free pages of all heaps: weights are copied into the runtime's own layout, and glibc keeps the originals.

    Measured on 17 MB of weights in three graphs: 160 MiB before, 116 after.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def keep_large_blocks_apart() -> None:
    """Blocks of `LARGE_BYTES` or more get pages of their own, which go back when they are freed.

    Left alone, glibc moves that bound up to the largest block freed so far, up to 32 MiB: the answers to large requests
    then lie in the heaps, and whatever small block lies above one keeps its pages. Measured after five times twenty
    clients that take no byte of 10 MB each: 245 MiB without it, 119 with it, 104 before the first.
    """
    _set(_M_MMAP_THRESHOLD, LARGE_BYTES)
    _set(_M_TRIM_THRESHOLD, 2 * LARGE_BYTES)  # else 128 KiB from then on: a system call for every answer


def keep_freed_blocks() -> None:
    """What is freed stays with the process, to be used again: for work that asks for the same blocks in every step.

    Measured on a step of Fashion-MNIST's recipe: 8,000 page faults and a quarter of the time without it, none with it.
    """
    _set(_M_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
    _set(_M_TRIM_THRESHOLD, 2**30)
    _set(_M_TOP_PAD, 2**26)


def _set(parameter: int, value: int) -> None:
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(parameter, value)
