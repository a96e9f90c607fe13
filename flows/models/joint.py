"""Joint flow with a relaxed condition (Xiao 2019): one likelihood, the condition read off the forward pass."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from flows.bijections.base import Bijection
from flows.condition import Condition
from flows.config import JointConfig
from flows.models.base import Model, Operation, Part, Tensors
from flows.models.embedding import Embedding, VectorEmbedding
from flows.models.preprocessing import Preprocessing

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


class JointFlow(Model):
    r"""f maps [x, x_0] to [z, c], with c ~ N(C, eps^2 I) and padding noise x_0 ~ N(0, sigma^2 I).

    log p(x, x_0 | C) = log N(z; 0, I_K) + log N(c - C; 0, eps^2 I_M) + log |det df / d[x, x_0]|

    where K = D + P - M. The log-weight subtracts log N(x_0; 0, sigma^2 I_P). Without padding (P = 0) it is the exact
    log-density. C is the one-hot label or the standardised vector. Since z, c and the log-determinant do not depend
    on C, `score` gets all classes from one pass of f.
    """

    config: JointConfig

    def __init__(
        self, config: JointConfig, preprocessing: Preprocessing, embedding: Embedding, bijection: Bijection
    ) -> None:
        super().__init__()
        self.config = config
        self.preprocessing = preprocessing
        self.embedding = embedding
        self.bijection = bijection
        K, M, P = config.latent_size, config.condition.size, config.padding or 0
        self.splits = (K, M)
        self.latent = (Part("z", (K,)), Part("v", (M,))) if M else (Part("z", (K,)),)
        self.noise = (Part("padding", (P,)),) if P else ()
        if config.data.levels is not None:
            self.noise += (Part("dequantization", config.data.shape, "uniform"),)
        self.epsilon, self.sigma = config.epsilon, config.padding_sigma
        # constants of log N(z), log N(c - C) and -log N(x_0) + the log-determinant of x_0 = sigma noise, all in one
        self.normal_constant = (P - K) * HALF_LOG_2PI + P * math.log(self.sigma)
        self.condition_constant = -M * (math.log(self.epsilon) + HALF_LOG_2PI)

    @property
    def operations(self) -> tuple[Operation, ...]:
        """All four, but no `infer` without a condition."""
        return ("decode", "encode", "score", "infer") if self.splits[1] else ("decode", "encode", "score")

    def decode(self, latent: Tensors, condition: Tensor | None) -> Tensor:
        """x = first D dimensions of f^-1([z, C + eps v])."""
        if self.splits[1]:
            z, v = latent
            output = torch.cat((z, self._target(condition) + self.epsilon * v), 1)
        else:
            (output,) = latent
        values, _ = self.bijection.inverse(output, _NOTHING)
        return self.preprocessing.inverse(values[:, : self.config.data.size])

    def encode(self, x: Tensor, noise: Tensors, condition: Tensor | None) -> Tensors:
        """z and v = (c - C) / eps of f([x, x_0])."""
        output, _ = self._transform(x, noise)
        if not self.splits[1]:
            return (output,)
        z, c = output.split(self.splits, 1)
        return z, (c - self._target(condition)) * (1 / self.epsilon)

    def log_weight(self, x: Tensor, noise: Tensors, condition: Tensor | None) -> Tensor:
        """log N(z) + log N(c - C; 0, eps^2 I) + log_det - log N(x_0; 0, sigma^2 I): (rows,)."""
        c, shared = self._shared(x, noise)
        if c is None:
            return shared
        distance = (c - self._target(condition)).square().sum(1)
        return shared + (self.condition_constant - (0.5 / self.epsilon**2) * distance)

    def score(self, x: Tensor, noise: Tensors, condition: Tensor | None) -> Tensor:
        """As `log_weight`; for labels every class at once, from ||c - e_k||^2 = ||c||^2 - 2 c_k + 1."""
        if self.config.condition.kind != "label":
            return self.log_weight(x, noise, condition)
        c, shared = self._shared(x, noise)
        assert c is not None
        distance = c.square().sum(1, keepdim=True) + (1 - 2 * c)
        return shared[:, None] + (self.condition_constant - (0.5 / self.epsilon**2) * distance)

    def infer(self, x: Tensor, noise: Tensors) -> tuple[Tensor, Tensor]:
        """c of f([x, x_0]), vectors back in data units, and log N(z) + log_det - log N(x_0): a flat prior on C."""
        c, shared = self._shared(x, noise)
        if c is None:
            return super().infer(x, noise)
        if isinstance(self.embedding, VectorEmbedding):
            c = self.embedding.inverse(c)
        return c, shared

    def fit_preprocessing(self, x: Tensor, condition: Tensor | None) -> None:
        """Fit the scalings of x and of a vector condition."""
        self.preprocessing.fit(x)
        self.embedding.fit(condition)

    @torch.no_grad()
    def initialize(self, x: Tensor, noise: Tensors, condition: Tensor | None) -> None:
        """Initialise the bijections on [x, x_0]."""
        self.bijection.initialize(self._padded(x, noise)[0], _NOTHING)

    def _target(self, condition: Tensor | None) -> Tensor:
        vector = self.embedding(condition).vector
        assert vector is not None
        return vector

    def _padded(self, x: Tensor, noise: Tensors) -> tuple[Tensor, Tensor | float]:
        values, log_det = self.preprocessing(x, noise[-1] if self.config.data.levels is not None else None)
        if self.config.padding:
            values = torch.cat((values, self.sigma * noise[0]), 1)
        return values, log_det

    def _transform(self, x: Tensor, noise: Tensors) -> tuple[Tensor, Tensor]:
        values, before = self._padded(x, noise)
        output, log_det = self.bijection(values, _NOTHING)
        return output, log_det + before

    def _shared(self, x: Tensor, noise: Tensors) -> tuple[Tensor | None, Tensor]:
        """What all conditions share: c, and log N(z) + log_det - log q(noise)."""
        output, log_det = self._transform(x, noise)
        z, c = output.split(self.splits, 1) if self.splits[1] else (output, None)
        shared = log_det - 0.5 * z.square().sum(1) + self.normal_constant
        if self.config.padding:
            shared = shared + 0.5 * noise[0].square().sum(1)
        return c, shared


_NOTHING = Condition.none()
