"""How float32 products are computed: as they are, or with the operands cut to TF32's ten bits of mantissa."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition

import torch


class _Products:
    """The flags of the process, as long as somebody wants them so; who wants them otherwise waits."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._users, self._tf32 = 0, False
        self._before = (False, False)

    def enter(self, tf32: bool) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._users or self._tf32 == tf32)
            if not self._users:
                self._tf32, self._before = tf32, _flags()
                _set_flags((tf32, tf32))
            self._users += 1

    def leave(self) -> None:
        with self._changed:
            self._users -= 1
            if not self._users:
                _set_flags(self._before)
                self._changed.notify_all()


_PRODUCTS = _Products()


@contextmanager
def float32_products(*, tf32: bool) -> Iterator[None]:
    """Inside, products and convolutions in float32 on a card do, or do not, use TF32; afterwards it is as before.

    torch lets convolutions use TF32 unless told otherwise. The flags belong to the process and are read where a kernel
    is chosen, that is in eager calls and while a graph is captured, not in its replay. Threads that want the same may
    be inside together.
    """
    _PRODUCTS.enter(tf32)
    try:
        yield
    finally:
        _PRODUCTS.leave()


def _flags() -> tuple[bool, bool]:
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


def _set_flags(flags: tuple[bool, bool]) -> None:
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = flags
