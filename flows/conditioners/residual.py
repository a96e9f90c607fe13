"""The residual multi-layer perceptron."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from flows.condition import Condition
from flows.conditioners.base import Conditioner, Dense


class ResidualMLP(Conditioner):
    """h = [u, c] W_0 + b_0; per block h <- h + W_2 activation(W_1 activation(h)); parameters = activation(h) W + b.

    `depth` blocks of two dense layers of `width` (pre-activation: He 2016, arXiv 1603.05027). The second layer of each
    block starts at zero too: blocks start as the identity.
    """

    def make_trunk(self, width: int, depth: int) -> int:
        """`depth` blocks of `width`."""
        self.first = Dense(self.size, width)
        self.opening = nn.ModuleList(Dense(width, width) for _ in range(depth))
        self.closing = nn.ModuleList(Dense(width, width, zero=True) for _ in range(depth))
        return width

    def trunk(self, u: Tensor, c: Condition) -> Tensor:
        """activation(h), after all blocks."""
        h = self.first(self.join(u, c))
        for opening, closing in zip(self.opening, self.closing, strict=True):
            hidden = self.activation_(opening(self.activation(h)))
            if self.dropout:
                hidden = functional.dropout(hidden, self.dropout, self.training)
            h = h + closing(hidden)
        return self.activation_(h)
