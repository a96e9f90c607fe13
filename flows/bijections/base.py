"""What every bijection answers: value and log-determinant, in both directions."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from flows.condition import Condition


class Bijection(nn.Module, ABC):
    """z = f(x; c) with log |det dz/dx|, and x = f^-1(z; c) with log |det dx/dz|.

    x and z are (rows, features), log-determinants (rows,), always of the direction applied, so that those of a round
    trip add up to zero. Every bijection accepts every condition; those without a conditioner do not look at it.
    """

    @abstractmethod
    def forward(self, x: Tensor, c: Condition) -> tuple[Tensor, Tensor]:
        """z = f(x; c) and log |det dz/dx|."""

    @abstractmethod
    def inverse(self, z: Tensor, c: Condition) -> tuple[Tensor, Tensor]:
        """x = f^-1(z; c) and log |det dx/dz|."""

    @torch.no_grad()
    def initialize(self, x: Tensor, c: Condition) -> None:
        """Fit data-dependent initial values to a batch of x; nothing to do for most bijections.

        Only ever called explicitly, before training: neither `forward` nor `inverse` changes a bijection.
        """
        return


class ConstantVolume(Bijection):
    """A bijection with one log |det| for all rows: subclasses give it as (), and whoever adds log_dets up need not
    spread it over the rows first. In a graph that is nine nodes less each, and the sum of all such is a constant.
    """

    @abstractmethod
    def transform(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """z = f(x), and log |det dz/dx| of every row: ()."""

    @abstractmethod
    def restore(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """x = f^-1(z), and log |det dx/dz| of every row: ()."""

    def forward(self, x: Tensor, c: Condition) -> tuple[Tensor, Tensor]:
        """`transform`, with a log-determinant per row."""
        z, log_det = self.transform(x)
        return z, log_det.expand(x.shape[0])

    def inverse(self, z: Tensor, c: Condition) -> tuple[Tensor, Tensor]:
        """`restore`, with a log-determinant per row."""
        x, log_det = self.restore(z)
        return x, log_det.expand(z.shape[0])


def sum_rows(log_derivatives: Tensor) -> Tensor:
    """Sum over all dimensions but the first: (rows, ...) to (rows,)."""
    return log_derivatives.flatten(1).sum(1)
