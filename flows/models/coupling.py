"""Conditional-coupling flow (cINN: Ardizzone 2019; Winkler 2019): the condition enters every conditioner."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from flows.bijections.base import Bijection
from flows.condition import Condition
from flows.config import CouplingConfig
from flows.densities import ConditionalNormal
from flows.models.base import Model, Part, Tensors
from flows.models.embedding import Embedding, LabelEmbedding
from flows.models.preprocessing import Preprocessing


class ConditionalCouplingFlow(Model):
    r"""log p(x | C) = log N(z; 0, I) + log |det dz / dx|,  z = (f(x; C) - mu(C)) / sigma(C).

    With prior "standard" mu = 0 and sigma = 1. The conditional prior is the last layer of the map, so the latent at
    the boundary is standard normal in either case. Exact for real data; integer data need dequantization noise.
    """

    config: CouplingConfig

    def __init__(
        self,
        config: CouplingConfig,
        preprocessing: Preprocessing,
        embedding: Embedding,
        bijection: Bijection,
        prior: ConditionalNormal | None,
    ) -> None:
        super().__init__()
        self.config = config
        self.preprocessing = preprocessing
        self.embedding = embedding
        self.bijection = bijection
        self.prior = prior
        self.latent = (Part("z", (config.data.size,)),)
        if config.data.levels is not None:
            self.noise = (Part("dequantization", config.data.shape, "uniform"),)
        self.normal_constant = -0.5 * config.data.size * math.log(2 * math.pi)

    def decode(self, latent: Tensors, condition: Tensor | None) -> Tensor:
        """x = f^-1(mu(C) + sigma(C) z; C)."""
        (z,) = latent
        embedded = self.embedding(condition)
        if self.prior is not None:
            mean, log_scale = self.prior(embedded)
            z = mean + log_scale.exp() * z
        values, _ = self.bijection.inverse(z, embedded)
        return self.preprocessing.inverse(values)

    def encode(self, x: Tensor, noise: Tensors, condition: Tensor | None) -> Tensors:
        """z = (f(x; C) - mu(C)) / sigma(C)."""
        values, _ = self._values(x, noise)
        return (self._latent(values, self.embedding(condition))[0],)

    def log_weight(self, x: Tensor, noise: Tensors, condition: Tensor | None) -> Tensor:
        """log N(z; 0, I) + log_det: (rows,), the log-density itself for real data."""
        values, before = self._values(x, noise)
        return self._log_prob(values, self.embedding(condition)) + (before + self.normal_constant)

    def score(self, x: Tensor, noise: Tensors, condition: Tensor | None) -> Tensor:
        """As `log_weight`; for labels every class, rows x classes in one pass: (rows, classes)."""
        if not isinstance(self.embedding, LabelEmbedding):
            return self.log_weight(x, noise, condition)
        values, before = self._values(x, noise)
        classes, size = self.embedding.shape.features, self.config.data.size
        expanded = values.unsqueeze(1).expand(-1, classes, size).reshape(-1, size)
        scores = self._log_prob(expanded, self.embedding.all_classes(values.shape[0])).reshape(-1, classes)
        before = before + self.normal_constant
        return scores + (before if isinstance(before, float) else before.unsqueeze(-1))

    def fit_preprocessing(self, x: Tensor, condition: Tensor | None) -> None:
        """Fit the scalings of x and of a vector or image condition."""
        self.preprocessing.fit(x)
        self.embedding.fit(condition)

    @torch.no_grad()
    def initialize(self, x: Tensor, noise: Tensors, condition: Tensor | None) -> None:
        """Initialise the bijections on one batch."""
        self.bijection.initialize(self._values(x, noise)[0], self.embedding(condition))

    def _values(self, x: Tensor, noise: Tensors) -> tuple[Tensor, Tensor | float]:
        values: tuple[Tensor, Tensor | float] = self.preprocessing(x, noise[0] if noise else None)
        return values

    def _latent(self, values: Tensor, condition: Condition) -> tuple[Tensor, Tensor]:
        z, log_det = self.bijection(values, condition)
        if self.prior is not None:
            mean, log_scale = self.prior(condition)
            z, log_det = (z - mean) * (-log_scale).exp(), log_det - log_scale.sum(1)
        return z, log_det

    def _log_prob(self, values: Tensor, condition: Condition) -> Tensor:
        """The log-density of values but for its constant."""
        z, log_det = self._latent(values, condition)
        return torch.sub(log_det, (z * z).sum(1), alpha=0.5)
