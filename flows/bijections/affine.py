"""Affine and additive coupling."""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor

from flows.bijections.coupling import Coupling, Halving
from flows.condition import Condition, ConditionShape
from flows.conditioners.base import ConditionerFactory


class AffineCoupling(Coupling):
    """z2 = exp(s) x2 + t with s = clamp tanh(a) and (a, t) = conditioner(x1, c); log_det = sum of s.

    The log-scale is softly clamped: |s| < clamp, so one layer stretches or shrinks an element by less than exp(clamp)
    (7.4 at the default of 2), and n layers by less than exp(n clamp). (RealNVP: Dinh 2017, arXiv 1605.08803, eq. 4-5;
    soft clamping: Ardizzone 2019, arXiv 1907.02392, with arctan in place of tanh.)

    >>> from flows.conditioners.mlp import MLP
    >>> layer = AffineCoupling(5, MLP, ConditionShape(features=3))
    >>> z, log_det = layer(torch.ones(2, 5), Condition.label(torch.tensor([0, 2]), classes=3))
    >>> z.shape, log_det  # the identity, until it is trained
    (torch.Size([2, 5]), tensor([0., 0.], grad_fn=<SumBackward1>))
    """

    def __init__(
        self,
        features: int,
        conditioner: ConditionerFactory,
        condition: ConditionShape,
        *,
        clamp: float = 2.0,
        **halving: Unpack[Halving],
    ) -> None:
        super().__init__(features, conditioner, condition, parameters=2, **halving)
        if clamp <= 0:
            raise ValueError(f"clamp: expected a positive bound on the log-scale, got {clamp}")
        # A tensor: with a Python number torch would make one at every call, which one row notices.
        self.register_buffer("clamp", torch.tensor(float(clamp)), persistent=False)
        self.clamp: Tensor

    def transform(self, moved: Tensor, passed: Tensor, c: Condition) -> tuple[Tensor, Tensor]:
        """exp(s) x2 + t."""
        log_scale, shift = self._scale_and_shift(passed, c)
        return torch.addcmul(shift, moved, log_scale.exp()), log_scale

    def restore(self, moved: Tensor, passed: Tensor, c: Condition) -> tuple[Tensor, Tensor]:
        """(z2 - t) / exp(s)."""
        log_scale, shift = self._scale_and_shift(passed, c)
        return (moved - shift) / log_scale.exp(), -log_scale

    def _scale_and_shift(self, passed: Tensor, c: Condition) -> tuple[Tensor, Tensor]:
        raw, shift = torch.split_with_sizes(self.conditioner(passed, c), (self.moved, self.moved), 1)
        return raw.contiguous().tanh() * self.clamp, shift  # tanh is twice as fast on what is contiguous


class AdditiveCoupling(Coupling):
    """z2 = x2 + t with t = conditioner(x1, c); log_det = 0: volume preserving. (NICE: Dinh 2015, arXiv 1410.8516.)"""

    def transform(self, moved: Tensor, passed: Tensor, c: Condition) -> tuple[Tensor, Tensor]:
        """x2 + t."""
        return moved + self.conditioner(passed, c), torch.zeros_like(moved)

    def restore(self, moved: Tensor, passed: Tensor, c: Condition) -> tuple[Tensor, Tensor]:
        """z2 - t."""
        return moved - self.conditioner(passed, c), torch.zeros_like(moved)
