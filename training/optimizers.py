"""Adam or AdamW as the device runs it best."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from training.settings import Loop


def optimizer_of(parameters: Iterable[nn.Parameter], loop: Loop, fused: bool) -> torch.optim.Optimizer:
    """Weight decay for matrices alone. `fused` takes one kernel for all weights, and skips a step whose `found_inf`
    is 1 without the host knowing.

    A loaded state keeps the options of this run: it may come from another device.
    """
    fitted = [parameter for parameter in parameters if parameter.requires_grad]
    groups = [
        {"params": [p for p in fitted if p.ndim > 1], "weight_decay": loop.weight_decay},
        {"params": [p for p in fitted if p.ndim <= 1], "weight_decay": 0.0},
    ]
    kind = torch.optim.AdamW if loop.optimizer == "adamw" else torch.optim.Adam
    present = [group for group in groups if group["params"]]
    optimizer = kind(present, lr=loop.rate, betas=loop.betas, fused=True if fused else None)
    optimizer.register_load_state_dict_pre_hook(_with_own_options)
    return optimizer


def parameters_of(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    """All that are fitted, group by group."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _with_own_options(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    return {**state, "param_groups": optimizer.state_dict()["param_groups"]}
