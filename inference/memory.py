"""Memory that loading took and no longer needs goes back to the system, where the C library can do that."""

from __future__ import annotations

import ctypes
from contextlib import suppress


def give_back() -> None:
    """Return free pages of all heaps: weights are copied into the runtime's own layout, and glibc keeps the originals.

    Measured on 17 MB of weights in three graphs: 160 MiB before, 116 after. No effect with another C library.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
