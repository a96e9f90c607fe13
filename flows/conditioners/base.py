"""What all conditioners share: how they are made, what they see, and their dense layer."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from flows.condition import Condition, ConditionShape

Activation = Literal["relu", "silu", "gelu", "tanh", "leaky_relu", "elu"]

ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "silu": functional.silu,
    "gelu": functional.gelu,
    "tanh": torch.tanh,
    "leaky_relu": functional.leaky_relu,
    "elu": functional.elu,
}
IN_PLACE: dict[Activation, Callable[[Tensor], Tensor]] = {**ACTIVATIONS, "relu": torch.relu_, "tanh": torch.tanh_}


class Conditioner(nn.Module, ABC):
    """parameters = h W + b with h = trunk(u, c): a network on [u, c.vector], whose subclasses make the trunk.

    W and b start at zero, so the coupling starts as the identity. `width` is that of the trunk's layers, `depth` their
    number, `dropout` the share of each hidden layer dropped in training mode.

    Where `inputs` and `condition.features` are both 0, the network sees a constant 1, so that its parameters are
    learnt constants. Raises ValueError, at construction, for a condition with spatial context only (a vector
    conditioner would not look at it; `ImageEncoder` makes features of it), and for an unknown activation; at the
    call, for a condition that is missing or was not announced.

    Where `lowered` names a type, the trunk computes in it: see `flows.conditioners.precision`.
    """

    lowered: torch.dtype | None = None

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
        super().__init__()
        if condition.channels and not condition.features:
            raise ValueError("condition: expected features; encode an image condition with ImageEncoder")
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation: expected one of {', '.join(ACTIVATIONS)}, got {activation!r}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout: expected a number in [0, 1), got {dropout}")
        self.inputs = inputs
        self.condition = condition
        self.size = max(inputs + condition.features, 1)
        self.activation = ACTIVATIONS[activation]
        self.activation_ = IN_PLACE[activation]  # for what nothing else reads: saves an allocation
        self.dropout = dropout
        self.last = Dense(self.make_trunk(width, depth), outputs, zero=True)

    @abstractmethod
    def make_trunk(self, width: int, depth: int) -> int:
        """Make the layers that `trunk` uses, and say how many numbers it gives."""

    @abstractmethod
    def trunk(self, u: Tensor, c: Condition) -> Tensor:
        """(rows, inputs) and the condition to what the last layer sees: (rows, width)."""

    def forward(self, u: Tensor, c: Condition) -> Tensor:
        """(rows, inputs) and the condition to (rows, outputs)."""
        return self.last(self._hidden(u, c))

    def __call__(self, u: Tensor, c: Condition) -> Tensor:
        """`forward` alone, as with Dense."""
        return self.forward(u, c)

    def columns(self, u: Tensor, c: Condition) -> Tensor:
        """`forward` transposed, (outputs, rows), and contiguous: the last product writes it so."""
        return self.last.columns(self._hidden(u, c))

    def _hidden(self, u: Tensor, c: Condition) -> Tensor:
        """What the last layer sees, in the type of u whatever type the trunk computes in."""
        if self.lowered is None:
            return self.trunk(u, c)
        # No cache of rounded weights: it outlives neither a step nor, worse, a capture into a CUDA graph.
        with torch.autocast(u.device.type, self.lowered, cache_enabled=False):
            h = self.trunk(u, c)
        return h.to(u.dtype)

    def join(self, u: Tensor, c: Condition) -> Tensor:
        """[u, c.vector]: (rows, size)."""
        vector = c.vector
        if vector is None:
            if self.condition.features:
                raise ValueError(f"condition: expected a vector of {self.condition.features} features, got none")
            return u if self.inputs else u.new_ones((u.shape[0], 1))
        if not self.condition.features:
            raise ValueError("condition: expected none, got a vector")
        return torch.cat((u, vector), 1) if self.inputs else vector


class Dense(nn.Module):
    """y = x W + b with W (inputs, outputs), uniform in +-1/sqrt(inputs) as b, or zero.

    W is stored the way it is multiplied: without torch's transpose that is one operation less, and one less backwards.

    What nn.Module does around a product costs as much as the product of one row: so W and b are read from where it
    keeps them (as attributes they are found last, after a failed search), and a call is `forward` alone, without hooks.
    """

    _parameters: dict[str, nn.Parameter]  # type: ignore[assignment]  # none of them is None

    def __init__(self, inputs: int, outputs: int, *, zero: bool = False) -> None:
        super().__init__()
        bound = 0.0 if zero else 1 / math.sqrt(inputs)
        self.weight = nn.Parameter(torch.empty(inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(outputs).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        """(rows, inputs) to (rows, outputs)."""
        parameters = self._parameters
        return torch.addmm(parameters["bias"], x, parameters["weight"])

    __call__ = forward

    def columns(self, x: Tensor) -> Tensor:
        """(rows, inputs) to (outputs, rows), y^T = W^T x^T + b."""
        return torch.addmm(self.bias.unsqueeze(1), self.weight.t(), x.t())


ConditionerFactory = Callable[[int, int, ConditionShape], Conditioner]
"""(inputs, outputs, condition) -> the conditioner of a coupling."""
