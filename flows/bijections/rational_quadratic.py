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
    log-slopes, softly clamped: |log d| < log `max_slope`. The slopes at the box's edge are 1, like the tails'. All
    zeros is the identity. Widths and heights are at least `min_size` of the box's side.

    x is clipped into the box, the spline evaluated there, and the tails put in by `where`, so that values and
    gradients are finite however far outside x lies. The quadratic's discriminant, positive but for rounding, is
    clamped at (the smallest number above) 0, and its root taken in the form that does not cancel.

    `size` elements come as (size, rows) and their parameters as (size, parameters, rows): rows last, so that every step
    over the bins, a few numbers each, runs along contiguous rows. The size is told beforehand, not read off the
    tensors, so that a graph computes no shapes: of one row they would take a fifth of its time.

    Raises ValueError if `bins` is less than 2, `bound` not positive, or the bins' minimal sizes fill the box.
    """

    def __init__(self, size: int, bins: int, bound: float, min_size: float = 2**-10, max_slope: float = 100.0) -> None:
        super().__init__()
        if bins < 2:
            raise ValueError(f"bins: expected at least 2, got {bins}")
        if bound <= 0:
            raise ValueError(f"bound: expected a positive number, got {bound}")
        if bins * min_size >= 1:
            raise ValueError(f"bins: expected fewer than {1 / min_size:.0f}, got {bins}")
        self.size = size
        self.bins = bins
        self.bound = bound
        self.parameters_per_element = 3 * bins - 1
        self.log_slope_bound = math.log(max_slope)
        # edges = box (first edge - 1/2 + k min_size) + free (sum of the shares of the bins before k), in one product.
        # The constants are exact in any precision, as long as min_size is a power of 2.
        self.box = 2 * bound
        self.free = self.box * (1 - bins * min_size)
        self.least = self.box * min_size
        self.register_buffer("start", torch.arange(bins)[:, None] * min_size - 0.5, persistent=False)
        self.register_buffer("before", torch.ones(bins, bins).tril(-1), persistent=False)
        self.start: Tensor
        self.before: Tensor

    def forward(self, x: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        """y and log dy/dx, both shaped as x: (size, rows); raw is (size, parameters, rows)."""
        x = x.unsqueeze(1)
        inside = x.clamp(-self.bound, self.bound)
        left, width, bottom, height, d0, d1 = self._bin(inside, raw, 0)
        t = (inside - left) / width
        slope, r = height / width, 1 - t
        tr, tt = t * r, t * t
        bend = torch.sub(d0 + d1, slope, alpha=2)
        denominator = torch.addcmul(slope, bend, tr)
        y = torch.addcmul(bottom, height, torch.addcmul(slope * tt, d0, tr) / denominator)
        log_derivative = _log_derivative(slope, d0, d1, tt, tr, r, denominator)
        return self._with_tails(x, inside, y, log_derivative)

    def inverse(self, y: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        """x and log dx/dy, both shaped as y: (size, rows); raw is (size, parameters, rows)."""
        y = y.unsqueeze(1)
        inside = y.clamp(-self.bound, self.bound)
        left, width, bottom, height, d0, d1 = self._bin(inside, raw, 1)
        rise = inside - bottom
        slope = height / width
        bend = torch.sub(d0 + d1, slope, alpha=2)
        bent, scaled = rise * bend, slope * rise
        a = torch.addcmul(bent, height, slope - d0)
        b = height * d0 - bent
        discriminant = torch.addcmul(b * b, a, scaled, value=4).clamp(torch.finfo(y.dtype).tiny)
        root, rising = discriminant.sqrt() + b.abs(), b >= 0
        t = torch.where(rising, 2 * scaled, root) / torch.where(rising, root, 2 * a)
        r = 1 - t
        tr, tt = t * r, t * t
        denominator = torch.addcmul(slope, bend, tr)
        log_derivative = -_log_derivative(slope, d0, d1, tt, tr, r, denominator)
        return self._with_tails(y, inside, torch.addcmul(left, t, width), log_derivative)

    def _bin(self, value: Tensor, raw: Tensor, axis: int) -> tuple[Tensor, ...]:
        """left, width, bottom, height, d0, d1 of the bin whose interval on `axis` (0: x, 1: y) holds the value.

        The value is (size, 1, rows), and so are they: a dimension that stays costs a graph nothing.
        """
        size, bins = self.size, self.bins
        logits, slopes = torch.split_with_sizes(raw, (2 * bins, bins - 1), 1)
        shares = logits.reshape(2 * size, bins, -1).softmax(1)  # widths and heights take turns
        before = self.before.expand(2 * size, bins, bins)
        edges = torch.baddbmm(self.start, before, shares, beta=self.box, alpha=self.free)
        index = (value >= edges[axis::2, 1:]).sum(1, keepdim=True)
        both = torch.cat((index, index), 1).view(2 * size, 1, -1)
        left, bottom = _two(edges.gather(1, both).view(size, 2, -1))
        width, height = _two(shares.gather(1, both).view(size, 2, -1) * self.free + self.least)
        ends = functional.pad(slopes, (0, 0, 1, 1)).gather(1, torch.cat((index, index + 1), 1))
        d0, d1 = _two(self._slopes(ends))
        return left, width, bottom, height, d0, d1

    def _slopes(self, raw: Tensor) -> Tensor:
        """exp(b tanh(raw / b)), with b tanh(u) = 2 b sigmoid(2 u) - b, which is several times as fast."""
        twice = 2 * self.log_slope_bound
        return ((raw * (2 / self.log_slope_bound)).sigmoid() * twice - self.log_slope_bound).exp()

    @staticmethod
    def _with_tails(value: Tensor, inside: Tensor, mapped: Tensor, log_derivative: Tensor) -> tuple[Tensor, Tensor]:
        within = value == inside
        return torch.where(within, mapped, value).squeeze(1), torch.where(within, log_derivative, 0.0).squeeze(1)


def _two(both: Tensor) -> tuple[Tensor, Tensor]:
    """(size, 2, rows) to (size, 1, rows) twice."""
    first, second = torch.split_with_sizes(both, (1, 1), 1)
    return first, second


def _log_derivative(
    slope: Tensor, d0: Tensor, d1: Tensor, tt: Tensor, tr: Tensor, r: Tensor, denominator: Tensor
) -> Tensor:
    """log of s^2 (d_1 t^2 + 2 s t (1 - t) + d_0 (1 - t)^2) / denominator^2 (Durkan 2019, eq. 5)."""
    numerator = torch.addcmul(torch.addcmul(d1 * tt, slope, tr, value=2), d0, r * r)
    ratio = slope / denominator
    return (numerator * ratio * ratio).log()
