"""a_t = d_t a_(t-1) + (1 - d_t) w_t, with d_t = min(d, (1 + t) / (10 + t)): the moving average of the weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class Average:
    """The average of every floating parameter and buffer of a module; integer buffers are taken as they are.

    The early d_t forget the initial weights quickly, so that short fits gain from it too. The module stays on its
    device meanwhile: its tensors are looked up once, which otherwise takes longer than the average itself.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module, self.decay, self.updates = module, decay, 0
        self._weights = _floating(module)
        self.values = {name: value.detach().clone() for name, value in self._weights.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take the module's weights into the average."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        torch._foreach_lerp_(list(self.values.values()), list(self._weights.values()), 1 - decay)
        self.updates += 1

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the module's weights and the average."""
        for name, value in self._weights.items():
            own = value.clone()
            value.copy_(self.values[name])
            self.values[name].copy_(own)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {"updates": self.updates, "values": dict(self.values)}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a checkpoint's state."""
        self.updates = state["updates"]
        for name, value in self.values.items():
            value.copy_(state["values"][name])


def _floating(module: nn.Module) -> dict[str, Tensor]:
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    return {name: value for name, value in tensors.items() if value.is_floating_point()}
