"""The coupling layer: one part of x passes, and conditions an elementwise map of the other part."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import Literal, TypedDict

import torch
from torch import Tensor

from flows.bijections.base import Bijection
from flows.condition import Condition, ConditionShape
from flows.conditioners.base import ConditionerFactory

Half = Literal["first", "second"]
Halves = tuple[Tensor, Tensor]


class Halving(TypedDict, total=False):
    """How a coupling halves its features: keyword arguments of every coupling."""

    transforms: Half
    first: int | None


class Coupling(Bijection):
    """[x1, x2] -> [x1, g(x2; conditioner(x1, c))]: owns splitting and merging; subclasses own the elementwise map g.

    The first half has `first` elements, floor(features / 2) unless told; `transforms` names the half that g transforms.
    With one feature there is nothing to pass: the whole vector is transformed, and the conditioner sees the condition
    only. The conditioner gives `parameters` numbers per element that g transforms.

    Raises ValueError if `features` is less than 1, or if a half would be empty though there are features for both.
    """

    def __init__(
        self,
        features: int,
        conditioner: ConditionerFactory,
        condition: ConditionShape,
        *,
        parameters: int = 1,
        transforms: Half = "second",
        first: int | None = None,
    ) -> None:
        super().__init__()
        if features < 1:
            raise ValueError(f"features: expected at least 1, got {features}")
        if first is not None and not 0 < first < features:
            raise ValueError(f"first: expected between 1 and {features - 1} of {features} features, got {first}")
        self.transforms_first = transforms == "first" and features > 1
        first = features // 2 if first is None else first
        self.sizes = (first, features - first)
        passed, self.moved = reversed(self.sizes) if self.transforms_first else self.sizes
        self.conditioner = conditioner(passed, self.moved * parameters, condition)

    @abstractmethod
    def transform(self, moved: Tensor, passed: Tensor, c: Condition) -> tuple[Tensor, Tensor]:
        """g and log |dg/dx| per element of the half that is transformed: both (rows, size)."""

    @abstractmethod
    def restore(self, moved: Tensor, passed: Tensor, c: Condition) -> tuple[Tensor, Tensor]:
        """g^-1 and log |dg^-1/dz| per element."""

    def forward(self, x: Tensor, c: Condition) -> tuple[Tensor, Tensor]:
        """Transform one half given the other."""
        return chain([self.transform_halves], self.split(x), c)

    def inverse(self, z: Tensor, c: Condition) -> tuple[Tensor, Tensor]:
        """Restore one half given the other, which is as it was."""
        return chain([self.restore_halves], self.split(z), c)

    def split(self, x: Tensor) -> Halves:
        """(rows, features) to the two halves."""
        first, second = torch.split_with_sizes(x, self.sizes, 1)
        return first, second

    def transform_halves(self, halves: Halves, c: Condition) -> tuple[Halves, Tensor]:
        """`forward` on halves that are already split: the halves, and the log-derivative per element."""
        return self._move(self.transform, halves, c)

    def restore_halves(self, halves: Halves, c: Condition) -> tuple[Halves, Tensor]:
        """`inverse` on halves that are already split: the halves, and the log-derivative per element."""
        return self._move(self.restore, halves, c)

    def _move(self, g: Elementwise, halves: Halves, c: Condition) -> tuple[Halves, Tensor]:
        first, second = halves
        if self.transforms_first:
            first, log_derivative = g(first, second, c)
        else:
            second, log_derivative = g(second, first, c)
        return (first, second), log_derivative


Elementwise = Callable[[Tensor, Tensor, Condition], tuple[Tensor, Tensor]]
Step = Callable[[Halves, Condition], tuple[Halves, Tensor]]


def chain(steps: Iterable[Step], halves: Halves, c: Condition) -> tuple[Tensor, Tensor]:
    """The halves through one step after another: merged, and the log-derivatives summed, once at the end."""
    log_derivatives = []
    for step in steps:
        halves, log_derivative = step(halves, c)
        log_derivatives.append(log_derivative)
    return torch.cat(halves, 1), torch.cat(log_derivatives, 1).sum(1)
