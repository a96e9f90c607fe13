"""From data to unconstrained vectors and back, with the log-determinant that keeps densities in data units."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from flows.bijections.base import Bijection, ConstantVolume
from flows.bijections.elementwise import Standardize
from flows.condition import Condition
from flows.config import Data


class Preprocessing(nn.Module):
    """forward: u = (g_n o ... o g_1)(x'), with x' = (x + noise) / levels for integer x, x' = x otherwise.

    x is (rows, *shape), u is (rows, D). The log-determinant is that of the whole map from x (or x + noise) to u.
    """

    def __init__(self, data: Data, steps: list[Bijection]) -> None:
        super().__init__()
        self.shape, self.size, self.levels = data.shape, data.size, data.levels
        self.steps = nn.ModuleList(steps)
        self.constant = 0.0 if data.levels is None else -data.size * math.log(data.levels)

    def forward(self, x: Tensor, noise: Tensor | None) -> tuple[Tensor, Tensor | float]:
        """Data to vectors: (rows, D) and the log-determinant, (rows,), or () if it is one number for all rows."""
        values = self._flat(x, noise)
        log_det: Tensor | float = self.constant
        for step in self.steps:
            values, term = step.transform(values) if isinstance(step, ConstantVolume) else step(values, _NOTHING)
            log_det = term + log_det
        return values, log_det

    def inverse(self, values: Tensor) -> Tensor:
        """Vectors to data; integers come out whole: floor(levels x') clipped to 0..levels-1."""
        for step in reversed(self.steps):
            values, _ = step.inverse(values, _NOTHING)  # type: ignore[operator]
        if self.levels is not None:
            values = (values * self.levels).floor().clamp(0, self.levels - 1)
        return values if len(self.shape) == 1 else values.unflatten(1, self.shape)

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Fit the standardisations, in order; integers are taken at the middle of their interval."""
        noise = None if self.levels is None else torch.full_like(x, 0.5)
        values = self._flat(x, noise)
        for step in self.steps:
            if isinstance(step, Standardize):
                step.fit(values)
            values, _ = step(values, _NOTHING)

    def _flat(self, x: Tensor, noise: Tensor | None) -> Tensor:
        if noise is not None:
            assert self.levels is not None
            x = (x + noise) * (1 / self.levels)
        return x if len(self.shape) == 1 else x.flatten(1)


_NOTHING = Condition.none()
