"""Conditional likelihood of a conditional-coupling flow (Ardizzone 2019; Winkler 2019)."""

from __future__ import annotations

from torch import nn

from flows.models.coupling import ConditionalCouplingFlow
from training.noise import fresh
from training.objectives.base import Terms
from training.rows import Batch


class ConditionalLikelihood:
    """-[log p(z | C) + log|det dz/dx|]; integer data with one draw of uniform dequantization noise (Theis 2016)."""

    def __init__(self, model: ConditionalCouplingFlow) -> None:
        self.model = model

    @property
    def module(self) -> nn.Module:
        """The flow."""
        return self.model

    def __call__(self, batch: Batch) -> Terms:
        """The negative log-likelihood, or for integers its variational bound."""
        noise = fresh(self.model, len(batch.x), batch.x.device)
        return {"loss": -self.model.log_weight(batch.x, noise, batch.condition).mean()}

    def start(self, batch: Batch) -> None:
        """ActNorm from the batch."""
        self.model.initialize(batch.x, fresh(self.model, len(batch.x), batch.x.device), batch.condition)
