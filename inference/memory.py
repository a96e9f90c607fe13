"""Memory that is no longer needed goes back to the system, where the C library can do that."""

from __future__ import annotations

import ctypes
from contextlib import suppress

LARGE_BYTES = 2 * 2**20
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def give_back() -> None:
    """Return free pages of all heaps: weights are copied into the runtime's own layout, and glibc keeps the originals.

    Measured on 17 MB of weights in three graphs: 160 MiB before, 116 after. No effect with another C library.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def keep_large_blocks_apart() -> None:
    """Blocks of `LARGE_BYTES` or more get pages of their own, which go back when they are freed.

    Left alone, glibc moves that bound up to the largest block freed so far, up to 32 MiB: the answers to large requests
    then lie in the heaps, and whatever small block lies above one keeps its pages. Measured after five times twenty
    clients that take no byte of 10 MB each: 245 MiB without it, 119 with it, 104 before the first.
    """
    with suppress(AttributeError, OSError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, 2 * LARGE_BYTES)  # else 128 KiB from then on: a system call for every answer
