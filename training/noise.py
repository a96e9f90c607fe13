"""Draws of a model's noise parts for training: fresh in every step, or fixed per row."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from flows.models.base import Model, Part
from training.rows import Batch, Noise
from training.seeds import generator


def fresh(model: Model, rows: int, device: torch.device) -> Noise:
    """Every noise part of `model` from the default generator, which each step seeds."""
    return tuple(_draw(part, rows, device) for part in model.noise)


class NoiseSource:
    """What feeds `log_weight` in training. `fixed`: the padding of a row is the same whenever the row comes up."""

    def __init__(self, model: Model, rows: int, padding: Literal["fresh", "fixed"], seed: int) -> None:
        self.model = model
        self.fixed: dict[str, Tensor] = {}
        if padding == "fixed":
            self.fixed = {
                part.name: torch.randn((rows, *part.shape), generator=generator(seed, f"fixed-{part.name}"))
                for part in model.noise
                if part.name == "padding"
            }

    def __call__(self, batch: Batch) -> Noise:
        """The noise parts for a batch, in order."""
        device = batch.x.device
        return tuple(
            self._fixed(part, device)[batch.rows] if part.name in self.fixed else _draw(part, len(batch.x), device)
            for part in self.model.noise
        )

    def _fixed(self, part: Part, device: torch.device) -> Tensor:
        """Moved to where it is used once: drawn on the CPU it is the same on every device."""
        if self.fixed[part.name].device != device:
            self.fixed[part.name] = self.fixed[part.name].to(device)
        return self.fixed[part.name]


def _draw(part: Part, rows: int, device: torch.device) -> Tensor:
    draw = torch.randn if part.distribution == "normal" else torch.rand
    return draw((rows, *part.shape), device=device)
