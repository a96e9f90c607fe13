"""Fixed maps per element from data to unconstrained numbers: standardize, logit, softplus, bounded support."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from flows.bijections.base import Bijection, ConstantVolume, sum_rows
from flows.condition import Condition

OUTSIDE = -math.inf  # log-derivative of a map outside its support: the density is zero there


class Standardize(ConstantVolume):
    """z = (x - mean) / scale per feature; log_det = -sum of log scale. mean and scale are buffers, set by `fit`.

    >>> layer = Standardize(1)
    >>> layer.fit(torch.tensor([[1.0], [3.0]]))
    >>> layer(torch.tensor([[5.0]]), Condition.none())
    (tensor([[3.]]), tensor([-0.]))
    """

    def __init__(self, features: int, mean: Tensor | None = None, scale: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features) if mean is None else mean.clone())
        self.register_buffer("scale", torch.ones(features) if scale is None else scale.clone())
        self.mean: Tensor
        self.scale: Tensor

    def transform(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(x - mean) / scale."""
        return (x - self.mean) / self.scale, -self.scale.log().sum()

    def restore(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """mean + scale z."""
        return torch.addcmul(self.mean, z, self.scale), self.scale.log().sum()

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Set mean and scale to the mean and standard deviation of x; a constant feature keeps scale 1."""
        mean, deviation = x.mean(0), x.std(0, correction=0)
        self.mean.copy_(mean)
        self.scale.copy_(torch.where(deviation > 1e-8 * (1 + mean.abs()), deviation, 1.0))


class Logit(Bijection):
    """z = log(u / (1 - u)) with u = alpha + (1 - 2 alpha) x; dz/dx = (1 - 2 alpha) / (u (1 - u)).

    For x in [0, 1]; alpha > 0 keeps its ends finite (Dinh 2017, arXiv 1605.08803, section 4.1). Where u is outside
    [0, 1] the log-determinant is -inf (no density) and z that of the nearest end.
    """

    def __init__(self, alpha: float = 0.0) -> None:
        super().__init__()
        if not 0 <= alpha < 0.5:
            raise ValueError(f"alpha: expected a number in [0, 0.5), got {alpha}")
        self.alpha = alpha
        self.log_slope = math.log1p(-2 * alpha)

    def forward(self, x: Tensor, c: Condition) -> tuple[Tensor, Tensor]:
        """[0, 1] to the real line."""
        u = x * (1 - 2 * self.alpha) + self.alpha
        z, log_derivative = _logit(u)
        return z, sum_rows(log_derivative + self.log_slope)

    def inverse(self, z: Tensor, c: Condition) -> tuple[Tensor, Tensor]:
        """The real line to [0, 1] (to (-alpha, 1 + alpha) / (1 - 2 alpha) in the far ends)."""
        u, log_derivative = _sigmoid(z)
        return (u - self.alpha) / (1 - 2 * self.alpha), sum_rows(log_derivative - self.log_slope)


class Softplus(Bijection):
    """z = log(exp(x) - 1), the inverse of softplus; dz/dx = 1 / (1 - exp(-x)). For positive x; else log_det is -inf."""

    def forward(self, x: Tensor, c: Condition) -> tuple[Tensor, Tensor]:
        """Positive numbers to the real line."""
        z, log_derivative = _inverse_softplus(x)
        return z, sum_rows(log_derivative)

    def inverse(self, z: Tensor, c: Condition) -> tuple[Tensor, Tensor]:
        """The real line to positive numbers: log(1 + exp(z))."""
        return _softplus(z), sum_rows(-_softplus(-z))


class BoundedSupport(Bijection):
    """Per feature, by its bounds a and b: logit((x - a) / (b - a)), or the inverse softplus of x - a or b - x, or x.

    `lower` and `upper` have one entry per feature; None is an open side. The inverse lands inside the bounds whatever
    z, so samples cannot leave the support. Outside the bounds log_det is -inf.

    Raises ValueError if the lengths differ or a lower bound is not below its upper one.

    >>> layer = BoundedSupport([0.0, None], [1.0, 5.0])
    >>> layer.inverse(torch.tensor([[-99.0, -99.0]]), Condition.none())[0]
    tensor([[0., 5.]])
    """

    def __init__(self, lower: Sequence[float | None], upper: Sequence[float | None]) -> None:
        super().__init__()
        if len(lower) != len(upper):
            raise ValueError(f"upper: expected {len(lower)} bounds, as in lower, got {len(upper)}")
        sides = list(zip(lower, upper, strict=True))
        for index, (a, b) in enumerate(sides):
            if a is not None and b is not None and not a < b:
                raise ValueError(f"upper[{index}]: expected more than lower[{index}] = {a}, got {b}")
        # x = origin + direction * width * y, where y is in (0, 1) (both bounds), positive (one), or real (none).
        both = [a is not None and b is not None for a, b in sides]
        origin = [a if a is not None else b if b is not None else 0.0 for a, b in sides]
        width = [b - a if a is not None and b is not None else 1.0 for a, b in sides]
        slope = [-w if a is None and b is not None else w for (a, b), w in zip(sides, width, strict=True)]
        self.register_buffer("origin", torch.tensor(origin))
        self.register_buffer("slope", torch.tensor(slope))
        self.register_buffer("two_sided", torch.tensor(both))
        self.register_buffer("one_sided", torch.tensor([(a is None) != (b is None) for a, b in sides]))
        self.origin: Tensor
        self.slope: Tensor
        self.two_sided: Tensor
        self.one_sided: Tensor

    def forward(self, x: Tensor, c: Condition) -> tuple[Tensor, Tensor]:
        """The support to real vectors."""
        y = (x - self.origin) / self.slope
        logit, logit_log = _logit(y)
        positive, positive_log = _inverse_softplus(y)
        z = torch.where(self.two_sided, logit, torch.where(self.one_sided, positive, y))
        log_derivative = self._choose(logit_log, positive_log) - self.slope.abs().log()
        return z, sum_rows(log_derivative)

    def inverse(self, z: Tensor, c: Condition) -> tuple[Tensor, Tensor]:
        """Real vectors to the support."""
        u, u_log = _sigmoid(z)
        positive = _softplus(z)
        y = torch.where(self.two_sided, u, torch.where(self.one_sided, positive, z))
        log_derivative = self._choose(u_log, -_softplus(-z)) + self.slope.abs().log()
        return torch.addcmul(self.origin, y, self.slope), sum_rows(log_derivative)

    def _choose(self, two_sided: Tensor, one_sided: Tensor) -> Tensor:
        return torch.where(self.two_sided, two_sided, torch.where(self.one_sided, one_sided, 0.0))


def _softplus(z: Tensor) -> Tensor:
    return functional.softplus(z, threshold=50.0)  # torch's default threshold of 20 is off by 2e-9


def _sigmoid(z: Tensor) -> tuple[Tensor, Tensor]:
    return z.sigmoid(), -(_softplus(z) + _softplus(-z))


def _logit(u: Tensor) -> tuple[Tensor, Tensor]:
    """log(u / (1 - u)) and its log-derivative; u is kept a little away from 0 and 1."""
    limits = torch.finfo(u.dtype)
    inside = u.clamp(math.sqrt(limits.tiny), 1 - limits.eps)
    z = inside.log() - (1 - inside).log()
    log_derivative = _softplus(z) + _softplus(-z)
    return z, torch.where((u >= 0) & (u <= 1), log_derivative, OUTSIDE)


def _inverse_softplus(x: Tensor) -> tuple[Tensor, Tensor]:
    """log(exp(x) - 1) and its log-derivative; 1 - exp(-x) = 2 t / (1 + t) with t = tanh(x / 2) keeps small x exact."""
    positive = x.clamp(math.sqrt(torch.finfo(x.dtype).tiny))
    t = (positive * 0.5).tanh()
    log_slope = (2 * t / (1 + t)).log()
    return positive + log_slope, torch.where(x >= 0, -log_slope, OUTSIDE)
