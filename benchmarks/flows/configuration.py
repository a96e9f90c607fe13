"""The one configuration that every contestant builds, and what it must cost at least."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["affine", "spline"]


@dataclass(frozen=True)
class Configuration:
    """D features, M condition numbers, `transforms` couplings, conditioners of two hidden layers."""

    kind: Kind
    features: int = 16
    condition: int = 8
    transforms: int = 6
    width: int = 128
    bins: int = 8

    @property
    def outputs(self) -> int:
        """Numbers that a conditioner gives per transformed feature."""
        return 2 if self.kind == "affine" else 3 * self.bins - 1

    @property
    def conditioner_flops(self) -> int:
        """2 x (multiply-adds) per row of all conditioners: the matrix products, nothing else.

        >>> Configuration("affine").conditioner_flops
        245760
        """
        half = self.features // 2
        per = (half + self.condition) * self.width + self.width**2 + self.width * half * self.outputs
        return 2 * per * self.transforms
