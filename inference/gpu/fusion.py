"""Whether a program is fused by a compiler: where that measures faster, and while there is time to find out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any

import torch
from torch import Tensor

Function = Callable[..., Tensor | tuple[Tensor, ...]]
MARGIN = 0.05  # below that, the difference is noise, and the simpler program is kept


def worth_it(plain: float, fused: float) -> bool:
    """Whether `fused` seconds instead of `plain` ones are worth another program.

    >>> worth_it(100e-6, 80e-6), worth_it(100e-6, 99e-6)
    (True, False)
    """
    return fused < (1 - MARGIN) * plain


def inductor(function: Function) -> Function:
    """Compiled for the shapes of its first call, whole: kernels fused by Inductor, no CUDA graphs of its own."""
    return compiled(function, backend="inductor")


def compiled(function: Function, backend: str) -> Function:
    """`function` by torch.compile: static shapes, one graph."""
    made: Any = torch.compile(function, backend=backend, fullgraph=True, dynamic=False)
    return made


@dataclass
class Fusion:
    """A compiler, and the seconds that a version may spend on it: a compilation takes some, and is not interrupted."""

    compiler: Callable[[Function], Function] = inductor
    seconds: float = 30.0

    def __post_init__(self) -> None:
        self._ends: float | None = None

    @property
    def has_time(self) -> bool:
        """Whether another compilation may begin; the clock runs from the first question."""
        if self._ends is None:
            self._ends = monotonic() + self.seconds
        return monotonic() < self._ends
