"""Activation normalisation: an affine map per feature, initialised from data."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from flows.bijections.base import ConstantVolume
from flows.condition import Condition


class ActNorm(ConstantVolume):
    """z = exp(s) x + b with learnt s and b per feature; log_det = sum of s.

    The identity until `initialize` is called, which chooses s and b such that z has mean 0 and standard deviation 1
    on that batch (Glow: Kingma and Dhariwal 2018, arXiv 1807.03039, section 3.1). That happens once: `initialized` is
    a buffer, saved with the weights, and neither `forward` nor `inverse`, in training or eval mode, changes anything.

    >>> layer = ActNorm(2)
    >>> x = torch.tensor([[1.0, 10.0], [3.0, 30.0]])
    >>> layer.initialize(x, Condition.none())
    >>> layer(x, Condition.none())[0].detach().round(decimals=5)
    tensor([[-1., -1.],
            [ 1.,  1.]])
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(features))
        self.shift = nn.Parameter(torch.zeros(features))
        self.register_buffer("initialized", torch.tensor(False))
        self.initialized: Tensor

    def transform(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """exp(s) x + b."""
        return torch.addcmul(self.shift, x, self.log_scale.exp()), self.log_scale.sum()

    def restore(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """exp(-s) (z - b)."""
        log_scale = -self.log_scale
        return (z - self.shift) * log_scale.exp(), log_scale.sum()

    @torch.no_grad()
    def initialize(self, x: Tensor, c: Condition) -> None:
        """Set s and b from a batch, if they have not been set. A feature constant in the batch keeps scale 1.

        Raises ValueError for fewer than two rows.
        """
        if self.initialized:
            return
        if x.shape[0] < 2:
            raise ValueError(f"x: ActNorm needs at least 2 rows to initialise, got {x.shape[0]}")
        deviation = x.std(0, correction=0)
        self.log_scale.copy_(-torch.where(deviation > 1e-6, deviation, 1.0).log())
        self.shift.copy_(-x.mean(0) * self.log_scale.exp())
        self.initialized.fill_(True)
