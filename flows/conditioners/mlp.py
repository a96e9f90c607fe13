"""The multi-layer perceptron."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from flows.condition import Condition
from flows.conditioners.base import Conditioner, Dense


class MLP(Conditioner):
    """h_0 = [u, c], h_i = activation(h_(i-1) W_i + b_i) for i = 1..depth, parameters = h_depth W + b.

    >>> import torch
    >>> from flows.condition import ConditionShape
    >>> MLP(2, 6, ConditionShape(features=3), width=16)(torch.ones(4, 2), Condition(vector=torch.ones(4, 3))).shape
    torch.Size([4, 6])
    """

    def make_trunk(self, width: int, depth: int) -> int:
        """`depth` layers of `width`."""
        sizes = (self.size, *(width for _ in range(depth)))
        self.hidden = nn.ModuleList(Dense(sizes[i], sizes[i + 1]) for i in range(depth))
        return sizes[-1]

    def trunk(self, u: Tensor, c: Condition) -> Tensor:
        """h_depth."""
        h = self.join(u, c)
        for layer in self.hidden:
            h = self.activation_(layer(h))
            if self.dropout:
                h = functional.dropout(h, self.dropout, self.training)
        return h
