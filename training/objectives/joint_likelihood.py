"""Joint likelihood with a relaxed condition (Xiao, Yan, Amit 2019)."""

from __future__ import annotations

from typing import Literal

from torch import nn

from flows.models.joint import JointFlow
from training.noise import NoiseSource, fresh
from training.objectives.base import Terms
from training.rows import Batch


class JointLikelihood:
    """-[log N(z; 0, I) + log N(c - C; 0, eps^2 I) + log|det| - log N(x_0; 0, sigma^2 I)], one draw of x_0 per row.

    The last term does not depend on the weights: with it the value is a bound on -log p(x | C) in nats.
    """

    def __init__(self, model: JointFlow, rows: int, padding: Literal["fresh", "fixed"], seed: int) -> None:
        self.model = model
        self.noise = NoiseSource(model, rows, padding, seed)

    @property
    def module(self) -> nn.Module:
        """The flow."""
        return self.model

    def __call__(self, batch: Batch) -> Terms:
        """The negative log-weight."""
        noise = self.noise(batch) if self.model.training else fresh(self.model, len(batch.x), batch.x.device)
        return {"loss": -self.model.log_weight(batch.x, noise, batch.condition).mean()}

    def start(self, batch: Batch) -> None:
        """ActNorm from the batch."""
        self.model.initialize(batch.x, self.noise(batch), batch.condition)
