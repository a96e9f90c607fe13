"""Rational-quadratic spline coupling."""

from __future__ import annotations

from typing import Unpack

from torch import Tensor

from flows.bijections.coupling import Coupling, Halving
from flows.bijections.rational_quadratic import RationalQuadratic
from flows.condition import Condition, ConditionShape
from flows.conditioners.base import ConditionerFactory


class SplineCoupling(Coupling):
    """z2 = spline(x2; conditioner(x1, c)), elementwise; log_det = sum of the spline's log-derivatives.

    A monotone rational-quadratic spline of `bins` bins inside [-bound, bound], the identity outside: standardise the
    data first. (Neural spline flow, coupling form: Durkan 2019, arXiv 1906.04032.)

    >>> import torch
    >>> from flows.conditioners.mlp import MLP
    >>> z, log_det = SplineCoupling(4, MLP, ConditionShape(), bins=5)(torch.ones(2, 4), Condition.none())
    >>> z.shape, log_det.shape
    (torch.Size([2, 4]), torch.Size([2]))
    """

    def __init__(
        self,
        features: int,
        conditioner: ConditionerFactory,
        condition: ConditionShape,
        *,
        bins: int = 8,
        bound: float = 5.0,
        **halving: Unpack[Halving],
    ) -> None:
        super().__init__(features, conditioner, condition, parameters=3 * bins - 1, **halving)
        self.spline = RationalQuadratic(self.moved, bins, bound)

    def transform(self, moved: Tensor, passed: Tensor, c: Condition) -> tuple[Tensor, Tensor]:
        """The spline, upwards."""
        y, log_derivative = self.spline(moved.t().contiguous(), self._raw(passed, c))
        return y.t(), log_derivative.t()

    def restore(self, moved: Tensor, passed: Tensor, c: Condition) -> tuple[Tensor, Tensor]:
        """The spline, backwards: the root of a quadratic."""
        x, log_derivative = self.spline.inverse(moved.t().contiguous(), self._raw(passed, c))
        return x.t(), log_derivative.t()

    def _raw(self, passed: Tensor, c: Condition) -> Tensor:
        columns = self.conditioner.columns(passed, c).unsqueeze(1)
        return columns.view(self.moved, self.spline.parameters_per_element, -1)
