"""The multi-layer perceptron."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from flows.condition import Condition, ConditionShape
from flows.conditioners.base import Activation, Conditioner, Dense


class MLP(Conditioner):
    """h_0 = [u, c], h_i = activation(h_(i-1) W_i + b_i) for i = 1..depth, parameters = h_depth W + b.

    `width` is that of every hidden layer. W and b start at zero, so the coupling starts as the identity. `dropout` is
    the share of each hidden layer dropped in training mode.

    >>> import torch
    >>> MLP(2, 6, ConditionShape(features=3), width=16)(torch.ones(4, 2), Condition(vector=torch.ones(4, 3))).shape
    torch.Size([4, 6])
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
        sizes = (self.size, *(width for _ in range(depth)))
        self.hidden = nn.ModuleList(Dense(sizes[i], sizes[i + 1]) for i in range(depth))
        self.last = Dense(sizes[-1], outputs, zero=True)

    def trunk(self, u: Tensor, c: Condition) -> Tensor:
        """h_depth."""
        h = self.join(u, c)
        for layer in self.hidden:
            h = self.activation_(layer(h))
            if self.dropout:
                h = functional.dropout(h, self.dropout, self.training)
        return h
