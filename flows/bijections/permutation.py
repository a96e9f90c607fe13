"""A fixed permutation of the features, random or given."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from flows.bijections.base import ConstantVolume


class FixedPermutation(ConstantVolume):
    """z_j = x_p(j) with p drawn once from `seed`, or given as `order`; log_det = 0.

    p and its inverse are buffers: they are saved and loaded with the weights.

    >>> from flows.condition import Condition
    >>> layer = FixedPermutation(4, seed=1)
    >>> x = torch.arange(8.0).reshape(2, 4)
    >>> bool((layer.inverse(layer(x, Condition.none())[0], Condition.none())[0] == x).all())
    True
    """

    def __init__(self, features: int, seed: int = 0, order: Sequence[int] | None = None) -> None:
        super().__init__()
        if order is None:
            indices = torch.randperm(features, generator=torch.Generator().manual_seed(seed))
        elif sorted(order) == list(range(features)):
            indices = torch.tensor(order)
        else:
            raise ValueError(f"order: expected every index from 0 to {features - 1} once, got {list(order)}")
        self.register_buffer("order", indices)
        self.register_buffer("inverse_order", indices.argsort())
        self.order: Tensor
        self.inverse_order: Tensor
        self.register_buffer("log_det", torch.tensor(0.0), persistent=False)
        self.log_det: Tensor

    def transform(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Permute."""
        return x.index_select(1, self.order), self.log_det

    def restore(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Permute back."""
        return z.index_select(1, self.inverse_order), self.log_det
