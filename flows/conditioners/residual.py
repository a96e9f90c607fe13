"""The residual multi-layer perceptron."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from flows.condition import Condition, ConditionShape
from flows.conditioners.base import Activation, Conditioner, Dense


class ResidualMLP(Conditioner):
    """h = [u, c] W_0 + b_0; per block h <- h + W_2 activation(W_1 activation(h)); parameters = activation(h) W + b.

    `depth` blocks of two dense layers of `width` (pre-activation: He 2016, arXiv 1603.05027). The second layer of each
    block and the last one start at zero: blocks start as the identity, and so does the coupling. `dropout` is the share
    of each block's hidden layer dropped in training mode.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        condition: ConditionShape,
        *,
        width: int = 128,
        depth: int = 2,
        activation: Activation = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__(inputs, condition, activation, dropout)
        self.first = Dense(self.size, width)
        self.opening = nn.ModuleList(Dense(width, width) for _ in range(depth))
        self.closing = nn.ModuleList(Dense(width, width, zero=True) for _ in range(depth))
        self.last = Dense(width, outputs, zero=True)

    def trunk(self, u: Tensor, c: Condition) -> Tensor:
        """activation(h), after all blocks."""
        h = self.first(self.join(u, c))
        for opening, closing in zip(self.opening, self.closing, strict=True):
            hidden = self.activation_(opening(self.activation(h)))
            if self.dropout:
                hidden = functional.dropout(hidden, self.dropout, self.training)
            h = h + closing(hidden)
        return self.activation_(h)
