"""Details of an image that its latent leaves open: a code of their own, and a flow of that code given the latent."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from flows.config import ConditionConfig, Data
from flows.models.base import Model, Operation, Part, Tensors
from flows.models.coupling import ConditionalCouplingFlow


class DetailCode(nn.Module):
    """v = (L x - mean) / sd per element, and M v, which is added to the first map of the decoder.

    Both maps are linear: what is not linear about details is the decoder's to say, which knows the latent beside them.
    """

    def __init__(self, shape: tuple[int, ...], size: int, seed: tuple[int, ...]) -> None:
        super().__init__()
        self.linear = nn.Linear(math.prod(shape), size, bias=False)
        self.normalization = nn.BatchNorm1d(size, affine=False)
        self.joined = nn.Linear(size, math.prod(seed), bias=False)

    def encode(self, x: Tensor) -> Tensor:
        """Images in [0, 1] to v, (rows, size)."""
        v: Tensor = self.normalization(self.linear(x.flatten(1)))
        return v

    def decode(self, v: Tensor) -> Tensor:
        """M v: (rows, elements of the decoder's first map)."""
        added: Tensor = self.joined(v)
        return added


class Detail(nn.Module):
    """The code v of an image's details, and its flow log p(v | u) given the latent u."""

    def __init__(self, shape: tuple[int, ...], size: int, seed: tuple[int, ...], flow: ConditionalCouplingFlow) -> None:
        super().__init__()
        self.code = DetailCode(shape, size, seed)
        self.flow = flow
        self.size = size


class DetailedFlow(Model):
    """log p([u, v] | C) = log p(u | C) + log p(v | u).

    The condition acts on v through u alone, so that what v says cancels in the posterior of a label, which is that of
    u: a code of details can neither help nor harm it.
    """

    def __init__(self, flow: Model, detail: Detail) -> None:
        super().__init__()
        self.flow, self.detail = flow, detail
        self.latent = (*flow.latent, Part("detail", (detail.size,)))
        self.noise = flow.noise
        self.splits = (flow.data.size, detail.size)

    @property
    def data(self) -> Data:
        """Rows of [u, v]."""
        return Data(shape=(sum(self.splits),))

    @property
    def condition(self) -> ConditionConfig:
        """That of u."""
        return self.flow.condition

    @property
    def operations(self) -> tuple[Operation, ...]:
        """Those of the flow of u."""
        return self.flow.operations

    def decode(self, latent: Tensors, condition: Tensor | None) -> Tensor:
        """u from its flow, then v given u."""
        *first, last = latent
        u = self.flow.decode(tuple(first), condition)
        return torch.cat((u, self.detail.flow.decode((last,), u)), 1)

    def encode(self, x: Tensor, noise: Tensors, condition: Tensor | None) -> Tensors:
        """The latent parts of u, and that of v given u."""
        u, v = x.split(self.splits, 1)
        return (*self.flow.encode(u, noise, condition), *self.detail.flow.encode(v, (), u))

    def log_weight(self, x: Tensor, noise: Tensors, condition: Tensor | None) -> Tensor:
        """The log-weight of u, and log p(v | u): (rows,)."""
        u, v = x.split(self.splits, 1)
        return self.flow.log_weight(u, noise, condition) + self.detail.flow.log_weight(v, (), u)

    def score(self, x: Tensor, noise: Tensors, condition: Tensor | None) -> Tensor:
        """The score of u, for labels of every class, and log p(v | u)."""
        u, v = x.split(self.splits, 1)
        scores, detail = self.flow.score(u, noise, condition), self.detail.flow.log_weight(v, (), u)
        return scores + (detail if scores.ndim == 1 else detail[:, None])

    def infer(self, x: Tensor, noise: Tensors) -> tuple[Tensor, Tensor]:
        """The condition read off u; log p(v | u) is in its log-weight."""
        u, v = x.split(self.splits, 1)
        estimate, log_weight = self.flow.infer(u, noise)
        return estimate, log_weight + self.detail.flow.log_weight(v, (), u)

    def fit_preprocessing(self, x: Tensor, condition: Tensor | None) -> None:
        """Of both flows."""
        u, v = x.split(self.splits, 1)
        self.flow.fit_preprocessing(u, condition)
        self.detail.flow.fit_preprocessing(v, u)

    def initialize(self, x: Tensor, noise: Tensors, condition: Tensor | None) -> None:
        """Of both flows."""
        u, v = x.split(self.splits, 1)
        self.flow.initialize(u, noise, condition)
        self.detail.flow.initialize(v, (), u)
