"""The monotone rational-quadratic spline with linear tails, as an elementwise map and its inverse."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class RationalQuadratic(nn.Module):
    """y = y_k + h (s t^2 + d_0 t (1 - t)) / (s + (d_0 + d_1 - 2 s) t (1 - t)),  t = (x - x_k) / w,  s = h / w.

    Per element, in the bin k that holds x: w and h are its width and height, d_0 and d_1 the slopes at its ends;
    outside [-bound, bound] it is the identity (Durkan 2019, arXiv 1906.04032, eq. 4-8 and 3.1 "linear tails").

    An element takes `parameters` = 3 bins - 1 numbers: logits of the widths, logits of the heights, and the inner
    slopes before softplus; those at the box's edge are 1, like the tails'. All zeros is the identity. Widths and
    heights are at least `min_size` of the box's side, slopes at least `min_slope`.

    x is clipped into the box, the spline evaluated there, and the tails put in by `where`, so that values and
    gradients are finite however far outside x lies. The quadratic's discriminant, positive but for rounding, is
    clamped at (the smallest number above) 0.

    Raises ValueError if `bins` is less than 2, `bound` not positive, or the bins' minimal sizes fill the box.
    """

    def __init__(self, bins: int, bound: float, min_size: float = 1e-3, min_slope: float = 1e-3) -> None:
        super().__init__()
        if bins < 2:
            raise ValueError(f"bins: expected at least 2, got {bins}")
        if bound <= 0:
            raise ValueError(f"bound: expected a positive number, got {bound}")
        if bins * min_size >= 1:
            raise ValueError(f"bins: expected fewer than {1 / min_size:.0f}, got {bins}")
        self.bins = bins
        self.bound = bound
        self.parameters_per_element = 3 * bins - 1
        self.min_slope = min_slope
        self.slope_shift = math.log(math.expm1(1 - min_slope))
        # [left edges, sizes] = shares @ spread + start: the cumulative sum, the scaling and the minimum in one product.
        scale = 2 * bound * (1 - bins * min_size)
        spread = torch.cat((torch.ones(bins, bins).triu(1), torch.eye(bins)), 1) * scale
        edges = -bound + 2 * bound * min_size * torch.arange(bins)
        start = torch.cat((edges, torch.full((bins,), 2 * bound * min_size)))
        self.register_buffer("spread", spread, persistent=False)
        self.register_buffer("start", start, persistent=False)
        self.spread: Tensor
        self.start: Tensor

    def forward(self, x: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        """y and log dy/dx, both shaped as x; raw is (*x.shape, parameters)."""
        inside = x.clamp(-self.bound, self.bound)
        left, width, bottom, height, d0, d1 = self._bin(inside, raw, 0)
        t = (inside - left) / width
        slope, r = height / width, 1 - t
        tr, tt = t * r, t * t
        denominator = torch.addcmul(slope, d0 + d1 - 2 * slope, tr)
        y = bottom + height * torch.addcmul(slope * tt, d0, tr) / denominator
        log_derivative = _log_derivative(slope, d0, d1, tt, tr, r, denominator)
        return self._with_tails(x, inside, y, log_derivative)

    def inverse(self, y: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        """x and log dx/dy, both shaped as y; raw is (*y.shape, parameters)."""
        inside = y.clamp(-self.bound, self.bound)
        left, width, bottom, height, d0, d1 = self._bin(inside, raw, 1)
        rise = inside - bottom
        slope = height / width
        bend = d0 + d1 - 2 * slope
        bent, scaled = rise * bend, slope * rise
        a = torch.addcmul(bent, height, slope - d0)
        b = height * d0 - bent
        discriminant = torch.addcmul(b * b, a, scaled, value=4).clamp(torch.finfo(y.dtype).tiny)
        t = 2 * scaled / (b + discriminant.sqrt())
        r = 1 - t
        tr, tt = t * r, t * t
        denominator = torch.addcmul(slope, bend, tr)
        log_derivative = -_log_derivative(slope, d0, d1, tt, tr, r, denominator)
        return self._with_tails(y, inside, torch.addcmul(left, t, width), log_derivative)

    def _bin(self, value: Tensor, raw: Tensor, axis: int) -> tuple[Tensor, ...]:
        """left, width, bottom, height, d0, d1 of the bin whose interval on `axis` (0: x, 1: y) holds the value."""
        bins, shape = self.bins, value.shape
        shares = raw[..., : 2 * bins].unflatten(-1, (2, bins)).softmax(-1)
        table = (shares @ self.spread + self.start).unflatten(-1, (2, bins))
        index = (value.unsqueeze(-1) >= table[..., axis, 0, 1:]).sum(-1, keepdim=True)
        found = table.gather(-1, index[..., None, None].expand(*shape, 2, 2, 1)).flatten(-3)
        slopes = functional.pad(raw[..., 2 * bins :], (1, 1)).gather(-1, torch.cat((index, index + 1), -1))
        slopes = functional.softplus(slopes + self.slope_shift) + self.min_slope
        return (*found.unbind(-1), *slopes.unbind(-1))

    @staticmethod
    def _with_tails(value: Tensor, inside: Tensor, mapped: Tensor, log_derivative: Tensor) -> tuple[Tensor, Tensor]:
        within = value == inside
        return torch.where(within, mapped, value), torch.where(within, log_derivative, 0.0)


def _log_derivative(
    slope: Tensor, d0: Tensor, d1: Tensor, tt: Tensor, tr: Tensor, r: Tensor, denominator: Tensor
) -> Tensor:
    """log of s^2 (d_1 t^2 + 2 s t (1 - t) + d_0 (1 - t)^2) / denominator^2 (Durkan 2019, eq. 5)."""
    numerator = torch.addcmul(torch.addcmul(d1 * tt, slope, tr, value=2), d0, r * r)
    ratio = slope / denominator
    return (numerator * ratio * ratio).log()
