"""A fixed random permutation of the features."""

from __future__ import annotations

import torch
from torch import Tensor

from flows.bijections.base import Bijection
from flows.condition import Condition


class FixedPermutation(Bijection):
    """z_j = x_p(j) with p drawn once from `seed`; log_det = 0.

    p and its inverse are buffers: they are saved and loaded with the weights.

    >>> layer = FixedPermutation(4, seed=1)
    >>> x = torch.arange(8.0).reshape(2, 4)
    >>> bool((layer.inverse(layer(x, Condition.none())[0], Condition.none())[0] == x).all())
    True
    """

    def __init__(self, features: int, seed: int) -> None:
        super().__init__()
        order = torch.randperm(features, generator=torch.Generator().manual_seed(seed))
        self.register_buffer("order", order)
        self.register_buffer("inverse_order", order.argsort())
        self.order: Tensor
        self.inverse_order: Tensor

    def forward(self, x: Tensor, c: Condition) -> tuple[Tensor, Tensor]:
        """Permute."""
        return x.index_select(1, self.order), x.new_zeros(x.shape[0])

    def inverse(self, z: Tensor, c: Condition) -> tuple[Tensor, Tensor]:
        """Permute back."""
        return z.index_select(1, self.inverse_order), z.new_zeros(z.shape[0])
