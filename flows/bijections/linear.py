"""A learnt invertible linear map, LU-parametrised."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from flows.bijections.base import ConstantVolume


class LULinear(ConstantVolume):
    """z = (L U) P x + b per row, with log_det = sum of log diag(U).

    P is a fixed random permutation drawn from `seed` (a buffer, saved with the weights), L lower triangular with ones
    on its diagonal, U upper triangular with diagonal exp(clamp tanh(a)): never singular, and |log diag(U)| < clamp.
    Starts as the permutation alone. (Glow: Kingma and Dhariwal 2018, arXiv 1807.03039, eq. 10.)

    The inverse uses L^-1 and U^-1, made block by block, doubling: with X the inverse of the diagonal blocks of size n
    and C the blocks between neighbours, X - X C X is that for size 2 n. These are log2(features) products of matrices;
    unlike a triangular solve they export to ONNX.

    >>> from flows.condition import Condition
    >>> layer = LULinear(3, seed=0)
    >>> x = torch.tensor([[1.0, 2.0, 3.0]])
    >>> layer.inverse(layer(x, Condition.none())[0], Condition.none())[0].detach()
    tensor([[1., 2., 3.]])
    """

    def __init__(self, features: int, seed: int, *, clamp: float = 4.0) -> None:
        super().__init__()
        if clamp <= 0:
            raise ValueError(f"clamp: expected a positive bound on the log-scale, got {clamp}")
        self.clamp = clamp
        self.triangles = nn.Parameter(torch.zeros(features, features))  # L below the diagonal, U above
        self.raw_diagonal = nn.Parameter(torch.zeros(features))
        self.bias = nn.Parameter(torch.zeros(features))
        order = torch.randperm(features, generator=torch.Generator().manual_seed(seed))
        self.register_buffer("permutation", torch.eye(features)[order])
        self.register_buffer("neighbours", _neighbours(features), persistent=False)
        self.register_buffer("identity", torch.eye(features), persistent=False)
        self.permutation: Tensor
        self.neighbours: Tensor
        self.identity: Tensor

    def transform(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """L U P x + b."""
        lower, upper, log_diagonal = self._factors()
        weight = lower @ upper @ self.permutation
        return torch.addmm(self.bias, x, weight.t()), log_diagonal.sum()

    def restore(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """P^T U^-1 L^-1 (z - b)."""
        lower, upper, log_diagonal = self._factors()
        lower_inverse = self._inverted(lower, self.identity)
        upper_inverse = self._inverted(upper.t(), self.identity * (-log_diagonal).exp()).t()
        weight = lower_inverse.t() @ upper_inverse.t() @ self.permutation  # one product per row, and in a graph
        return (z - self.bias) @ weight, -log_diagonal.sum()

    def _factors(self) -> tuple[Tensor, Tensor, Tensor]:
        log_diagonal = self.raw_diagonal.tanh() * self.clamp
        lower = self.triangles.tril(-1) + self.identity
        upper = self.triangles.triu(1) + self.identity * log_diagonal.exp()
        return lower, upper, log_diagonal

    def _inverted(self, lower: Tensor, inverse: Tensor) -> Tensor:
        """The inverse of a lower triangular matrix, from that of its diagonal."""
        for between in self.neighbours:
            inverse = inverse - inverse @ (lower * between) @ inverse
        return inverse


def _neighbours(features: int) -> Tensor:
    """Masks (levels, features, features): level n marks the block under each pair of diagonal blocks of size 2^n."""
    index = torch.arange(features)
    levels = []
    size = 1
    while size < features:
        block = index // size
        same_pair = (block[:, None] // 2) == (block[None, :] // 2)
        levels.append(same_pair & (block[:, None] > block[None, :]))
        size *= 2
    return torch.stack(levels).to(torch.get_default_dtype()) if levels else torch.zeros(0, features, features)
