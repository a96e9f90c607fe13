"""The composition of bijections."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import reduce

import torch
from torch import Tensor, nn

from flows.bijections.base import Bijection, ConstantVolume
from flows.bijections.coupling import Coupling, chain
from flows.condition import Condition


class Composition(Bijection):
    """z = (f_n o ... o f_1)(x); log_det = sum of theirs.

    Neighbouring couplings hand the two halves to one another: a run of them splits and merges once, and sums its
    log-derivatives once. At small batches, where the number of tensor operations is the cost, that is a fifth of it.
    The log-determinants of bijections of constant volume are added to one another before they meet the rows.

    Raises ValueError for no bijections at all.
    """

    def __init__(self, bijections: Iterable[Bijection]) -> None:
        super().__init__()
        bijections = list(bijections)
        if not bijections:
            raise ValueError("bijections: expected at least one")
        self.bijections = nn.ModuleList(bijections)
        self._steps = _runs(bijections)

    def forward(self, x: Tensor, c: Condition) -> tuple[Tensor, Tensor]:
        """Apply f_1, then f_2, and so on."""
        return _apply([step.forward for step in self._steps], x, c)

    def inverse(self, z: Tensor, c: Condition) -> tuple[Tensor, Tensor]:
        """Apply f_n^-1, then f_n-1^-1, and so on."""
        return _apply([step.inverse for step in reversed(self._steps)], z, c)

    @torch.no_grad()
    def initialize(self, x: Tensor, c: Condition) -> None:
        """Initialise each bijection on what the ones before it make of the batch."""
        for bijection in self.bijections:
            bijection.initialize(x, c)  # type: ignore[operator]
            x, _ = bijection(x, c)


class _Constant:
    """A bijection of constant volume, with its log-determinant as (). No module, as `_Run`."""

    def __init__(self, bijection: ConstantVolume) -> None:
        self.bijection = bijection

    def forward(self, x: Tensor, c: Condition) -> tuple[Tensor, Tensor]:
        return self.bijection.transform(x)

    def inverse(self, z: Tensor, c: Condition) -> tuple[Tensor, Tensor]:
        return self.bijection.restore(z)


class _Run:
    """Neighbouring couplings with the same halves. No module: each coupling is registered once, in `bijections`."""

    def __init__(self, coupling: Coupling) -> None:
        self.couplings = [coupling]

    def forward(self, x: Tensor, c: Condition) -> tuple[Tensor, Tensor]:
        return chain([coupling.transform_halves for coupling in self.couplings], self.couplings[0].split(x), c)

    def inverse(self, z: Tensor, c: Condition) -> tuple[Tensor, Tensor]:
        return chain([coupling.restore_halves for coupling in reversed(self.couplings)], self.couplings[0].split(z), c)


def _runs(bijections: Iterable[Bijection]) -> list[Bijection | _Constant | _Run]:
    """The bijections in order, neighbouring couplings grouped."""
    steps: list[Bijection | _Constant | _Run] = []
    for bijection in bijections:
        last = steps[-1] if steps else None
        if isinstance(bijection, ConstantVolume):
            steps.append(_Constant(bijection))
        elif not isinstance(bijection, Coupling):
            steps.append(bijection)
        elif isinstance(last, _Run) and last.couplings[0].sizes == bijection.sizes:
            last.couplings.append(bijection)
        else:
            steps.append(_Run(bijection))
    return steps


def _apply(
    steps: Iterable[Callable[[Tensor, Condition], tuple[Tensor, Tensor]]], x: Tensor, c: Condition
) -> tuple[Tensor, Tensor]:
    constant: list[Tensor] = []
    per_row: list[Tensor] = []
    for step in steps:
        x, log_det = step(x, c)
        (per_row if log_det.dim() else constant).append(log_det)
    total = reduce(torch.add, constant + per_row)
    return x, total if per_row else total.expand(x.shape[0])
