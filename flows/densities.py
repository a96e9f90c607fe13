"""Base densities: the standard normal, and a normal whose mean and scale depend on the condition."""

from __future__ import annotations

import math

from torch import Tensor, nn

from flows.condition import Condition, ConditionShape
from flows.conditioners.base import ConditionerFactory

LOG_2_PI = math.log(2 * math.pi)


def standard_normal_log_prob(z: Tensor) -> Tensor:
    """log N(z; 0, I) = -1/2 sum(z^2) - D/2 log(2 pi): (rows, D) to (rows,).

    >>> import torch
    >>> standard_normal_log_prob(torch.zeros(1, 2))
    tensor([-1.8379])
    """
    return (z * z).sum(1) * -0.5 - 0.5 * z.shape[1] * LOG_2_PI


def normal_log_prob(x: Tensor, mean: Tensor | float, log_scale: Tensor | float) -> Tensor:
    """log N(x; mean, exp(log_scale)^2), independent per element: (rows, D) to (rows,)."""
    if isinstance(log_scale, Tensor):
        z = (x - mean) * (-log_scale).exp()
        return standard_normal_log_prob(z) - log_scale.expand_as(x).sum(1)
    return standard_normal_log_prob((x - mean) * math.exp(-log_scale)) - log_scale * x.shape[1]


class ConditionalNormal(nn.Module):
    """p(z | c) = N(z; mu(c), sigma(c)^2) with log sigma = clamp tanh(a) and (mu, a) = conditioner(c).

    The conditional prior of Winkler 2019 (arXiv 1912.00042, section 3), with the log-scale softly clamped:
    |log sigma| < clamp. Standard normal until it is trained.

    Raises ValueError for a condition without features.
    """

    def __init__(
        self, features: int, conditioner: ConditionerFactory, condition: ConditionShape, *, clamp: float = 2.0
    ) -> None:
        super().__init__()
        if not condition.features:
            raise ValueError("condition: a conditional density needs a condition with features")
        if clamp <= 0:
            raise ValueError(f"clamp: expected a positive bound on the log-scale, got {clamp}")
        self.conditioner = conditioner(0, 2 * features, condition)
        self.clamp = clamp

    def forward(self, c: Condition) -> tuple[Tensor, Tensor]:
        """mu(c) and log sigma(c): both (rows, features)."""
        if c.vector is None:
            raise ValueError("condition: expected a vector, got none")
        mean, raw = self.conditioner(c.vector[:, :0], c).chunk(2, 1)
        return mean, raw.tanh() * self.clamp

    def log_prob(self, z: Tensor, c: Condition) -> Tensor:
        """log p(z | c): (rows,)."""
        return normal_log_prob(z, *self(c))

    def to_noise(self, z: Tensor, c: Condition) -> Tensor:
        """(z - mu(c)) / sigma(c): standard normal if z follows the density."""
        mean, log_scale = self(c)
        return (z - mean) * (-log_scale).exp()

    def from_noise(self, noise: Tensor, c: Condition) -> Tensor:
        """mu(c) + sigma(c) noise: follows the density if the noise is standard normal."""
        mean, log_scale = self(c)
        return mean + log_scale.exp() * noise
