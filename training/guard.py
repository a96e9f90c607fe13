"""A loss that is not finite: go back to weights that were good, go on at a lower rate, and give up in the end."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from training.averaging import Average
from training.errors import FitError

RESTORATIONS = 3
LOWERED = 0.3
EVERY = 100


class Guard:
    """Keeps a copy of weights, their average and optimizer state that gave a finite loss, at most `EVERY` steps old.

    After `RESTORATIONS` restorations the next non-finite loss raises FitError. `factor` multiplies the rate.
    """

    def __init__(self, module: nn.Module, optimizer: torch.optim.Optimizer, average: Average | None = None) -> None:
        self.module, self.optimizer, self.average = module, optimizer, average
        self.restorations = 0
        self._weights: dict[str, Tensor] = {}
        self._optimizer_state: dict[str, Any] = {}
        self._average: dict[str, Any] = {}

    @property
    def factor(self) -> float:
        """What the rate is multiplied by: 0.3 per restoration."""
        return LOWERED**self.restorations

    def keep(self) -> None:
        """Remember the present weights as good."""
        self._weights = {name: value.detach().clone() for name, value in self.module.state_dict().items()}
        self._optimizer_state = deepcopy(self.optimizer.state_dict())
        self._average = {} if self.average is None else deepcopy(self.average.state_dict())

    def restore(self, step: int) -> str:
        """Put the last good weights back; returns what to tell. Raises FitError when it has happened too often."""
        if self.restorations == RESTORATIONS:
            raise FitError(
                f"the loss is not finite at step {step}, after the weights were restored and the rate lowered "
                f"{RESTORATIONS} times. Look for extreme values in the data, lower fit.rate, or set fit.clip lower"
            )
        self.restorations += 1
        self.module.load_state_dict(self._weights)
        self.optimizer.load_state_dict(deepcopy(self._optimizer_state))
        if self.average is not None:
            self.average.load_state_dict(self._average)
        return (
            f"the loss is not finite at step {step}: the last good weights are back, the rate is lowered "
            f"to {self.factor:.3g} of what the schedule says ({self.restorations} of {RESTORATIONS})"
        )
