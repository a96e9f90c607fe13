"""The learning rate as a pure function of progress: nothing to save, nothing to restore."""

from __future__ import annotations

from math import cos, pi
from typing import Annotated, Literal

from pydantic import Field

from model_store.signature import Frozen

Fraction = Annotated[float, Field(ge=0, le=1)]


class Schedule(Frozen, allow_inf_nan=False):
    """rate(t) = rate * factor(t), with t in [0, 1) the share of steps done.

    Every kind warms up over the first `warmup` of the steps, from `start`. Then: `constant` stays at 1; `cosine` falls
    to `final` along half a cosine; `step` is multiplied by `drop` at each of `milestones`; `one-cycle` (Smith 2018) is
    a cosine both ways, with Adam's first beta moving against the rate between `momentum`.
    """

    kind: Literal["constant", "cosine", "one-cycle", "step"] = "cosine"
    warmup: Fraction = 0.0
    start: Fraction = 0.05
    final: Fraction = 0.001
    milestones: tuple[Fraction, ...] = (0.5,)
    drop: Annotated[float, Field(gt=0, lt=1)] = 0.5
    momentum: tuple[Fraction, Fraction] = (0.85, 0.95)

    def factor(self, progress: float) -> float:
        """What the rate is multiplied by.

        >>> Schedule(kind="cosine", final=0.0).factor(0.5)
        0.5
        >>> Schedule(kind="step", milestones=(0.5, 0.75)).factor(0.8)
        0.25
        """
        if progress < self.warmup:
            done = progress / self.warmup
            rise = _half_cosine(done) if self.kind == "one-cycle" else done
            return self.start + (1 - self.start) * rise
        if self.kind == "constant":
            return 1.0
        if self.kind == "step":
            return self.drop ** sum(progress >= milestone for milestone in self.milestones)
        left = (progress - self.warmup) / (1 - self.warmup) if self.warmup < 1 else 1.0
        return 1.0 + (self.final - 1.0) * _half_cosine(left)

    def first_beta(self, progress: float) -> float | None:
        """Adam's first beta for `one-cycle`: lowest where the rate is highest; None for the other kinds."""
        if self.kind != "one-cycle":
            return None
        low, high = self.momentum
        if progress < self.warmup:
            return high + (low - high) * _half_cosine(progress / self.warmup)
        return low + (high - low) * _half_cosine((progress - self.warmup) / (1 - self.warmup))


def _half_cosine(t: float) -> float:
    """From 0 to 1, flat at both ends."""
    return 0.5 - 0.5 * cos(pi * t)
