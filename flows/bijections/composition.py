"""The composition of bijections."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from flows.bijections.base import Bijection
from flows.bijections.coupling import Coupling
from flows.condition import Condition


class Composition(Bijection):
    """z = (f_n o ... o f_1)(x); log_det = sum of theirs.

    Neighbouring couplings hand the two halves to one another: a run of them splits and merges once, and sums its
    log-derivatives once. At small batches, where the number of tensor operations is the cost, that is a fifth of it.

    Raises ValueError for no bijections at all.
    """

    def __init__(self, bijections: Iterable[Bijection]) -> None:
        super().__init__()
        bijections = list(bijections)
        if not bijections:
            raise ValueError("bijections: expected at least one")
        self.bijections = nn.ModuleList(bijections)
        self._runs = _Runs(bijections)

    def forward(self, x: Tensor, c: Condition) -> tuple[Tensor, Tensor]:
        """Apply f_1, then f_2, and so on."""
        terms = []
        for run in self._runs.forwards:
            if isinstance(run, Bijection):
                x, log_det = run(x, c)
            else:
                halves, log_derivatives = run[0].split(x), []
                for coupling in run:
                    halves, log_derivative = coupling.transform_halves(halves, c)
                    log_derivatives.append(log_derivative)
                x, log_det = torch.cat(halves, 1), torch.cat(log_derivatives, 1).sum(1)
            terms.append(log_det)
        return x, _sum(terms)

    def inverse(self, z: Tensor, c: Condition) -> tuple[Tensor, Tensor]:
        """Apply f_n^-1, then f_n-1^-1, and so on."""
        terms = []
        for run in self._runs.backwards:
            if isinstance(run, Bijection):
                z, log_det = run.inverse(z, c)
            else:
                halves, log_derivatives = run[0].split(z), []
                for coupling in run:
                    halves, log_derivative = coupling.restore_halves(halves, c)
                    log_derivatives.append(log_derivative)
                z, log_det = torch.cat(halves, 1), torch.cat(log_derivatives, 1).sum(1)
            terms.append(log_det)
        return z, _sum(terms)

    @torch.no_grad()
    def initialize(self, x: Tensor, c: Condition) -> None:
        """Initialise each bijection on what the ones before it make of the batch."""
        for bijection in self.bijections:
            bijection.initialize(x, c)  # type: ignore[operator]
            x, _ = bijection(x, c)


class _Runs:
    """The bijections in order, neighbouring couplings grouped. No module: each is registered once, in `bijections`."""

    def __init__(self, bijections: Iterable[Bijection]) -> None:
        self.forwards: list[Bijection | list[Coupling]] = []
        for bijection in bijections:
            last = self.forwards[-1] if self.forwards else None
            if not isinstance(bijection, Coupling):
                self.forwards.append(bijection)
            elif isinstance(last, list) and last[0].sizes == bijection.sizes:
                last.append(bijection)
            else:
                self.forwards.append([bijection])
        self.backwards = [run[::-1] if isinstance(run, list) else run for run in reversed(self.forwards)]


def _sum(terms: list[Tensor]) -> Tensor:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total
