"""A loss that is not finite: go back to weights that were good, go on at a lower rate, and give up in the end."""

from __future__ import annotations

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

    All is put back in place, so that what was recorded for a device still finds it. After `RESTORATIONS` restorations
    the next non-finite loss raises FitError. `factor` multiplies the rate.
    """

    def __init__(self, module: nn.Module, optimizer: torch.optim.Optimizer, average: Average | None = None) -> None:
        self.module, self.optimizer, self.average = module, optimizer, average
        self.restorations = 0
        self._kept: dict[str, Tensor] = {}
        self._updates = 0

    @property
    def factor(self) -> float:
        """What the rate is multiplied by: 0.3 per restoration."""
        return LOWERED**self.restorations

    def keep(self) -> None:
        """Remember the present weights as good."""
        self._kept = {name: value.clone() for name, value in self._tensors().items()}
        self._updates = 0 if self.average is None else self.average.updates

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint holds, so that a fit that goes on goes back to the same weights."""
        return {"restorations": self.restorations, "kept": {"tensors": self._kept, "updates": self._updates}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with a checkpoint's; where it holds no weights, as older ones do, the present ones are remembered."""
        self.restorations = state["restorations"]
        self.keep()
        if "kept" in state:
            self._kept, self._updates = state["kept"]["tensors"], state["kept"]["updates"]

    def restore(self, step: int) -> str:
        """Put the last good weights back; returns what to tell. Raises FitError when it has happened too often."""
        if self.restorations == RESTORATIONS:
            raise FitError(
                f"the loss or its gradient is not finite at step {step}, after the weights were restored and the rate "
                f"lowered {RESTORATIONS} times. Look for extreme values in the data, lower fit.rate, or set fit.clip "
                "lower"
            )
        self.restorations += 1
        with torch.no_grad():
            for name, value in self._tensors().items():
                if name in self._kept:
                    value.copy_(self._kept[name])
                else:
                    value.zero_()  # an optimizer's state before its first step
        if self.average is not None:
            self.average.updates = self._updates
        return (
            f"the loss or its gradient is not finite at step {step}: the last good weights are back, the rate is "
            f"lowered to {self.factor:.3g} of what the schedule says ({self.restorations} of {RESTORATIONS})"
        )

    def _tensors(self) -> dict[str, Tensor]:
        """Where they lie."""
        found = {f"weights/{name}": value.detach() for name, value in self.module.state_dict().items()}
        for index, state in enumerate(self.optimizer.state.values()):
            found |= {f"optimizer/{index}/{name}": value for name, value in state.items() if torch.is_tensor(value)}
        if self.average is not None:
            found |= {f"average/{name}": value for name, value in self.average.values.items()}
        return found
