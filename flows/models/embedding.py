"""From the raw condition at a model's boundary to the typed `Condition` that its layers accept."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from flows.condition import Condition, ConditionShape
from flows.conditioners.image_encoder import ImageEncoder


class Embedding(nn.Module, ABC):
    """Turns a raw condition into a `Condition` of the declared `shape`."""

    shape: ConditionShape

    @abstractmethod
    def forward(self, condition: Tensor | None) -> Condition:
        """Embed a batch of raw conditions."""

    def fit(self, condition: Tensor | None) -> None:
        """Set the fixed scaling from training conditions; nothing to do for most kinds."""


class NoEmbedding(Embedding):
    """No condition."""

    shape = ConditionShape()

    def forward(self, condition: Tensor | None) -> Condition:
        """Ignore the argument, which is None."""
        return Condition.none()


class LabelEmbedding(Embedding):
    """One-hot rows of class indices."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.shape = ConditionShape(features=classes)
        self.register_buffer("one_hot", torch.eye(classes), persistent=False)
        self.one_hot: Tensor

    def forward(self, condition: Tensor | None) -> Condition:
        """(rows,) int64 to (rows, classes)."""
        assert condition is not None
        return Condition(vector=self.one_hot.index_select(0, condition))

    def all_classes(self, rows: int) -> Condition:
        """Every class for each of `rows` rows, classes running fastest: (rows * classes, classes)."""
        classes = self.shape.features
        return Condition(vector=self.one_hot.expand(rows, classes, classes).reshape(-1, classes))


class VectorEmbedding(Embedding):
    """(C - mean) / scale, fitted to the training conditions; a constant element keeps scale 1."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.shape = ConditionShape(features=size)
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))
        self.mean: Tensor
        self.scale: Tensor

    def forward(self, condition: Tensor | None) -> Condition:
        """(rows, M) in data units to (rows, M) standardised."""
        assert condition is not None
        return Condition(vector=(condition - self.mean) / self.scale)

    def inverse(self, vector: Tensor) -> Tensor:
        """Standardised back to data units."""
        return vector * self.scale + self.mean

    @torch.no_grad()
    def fit(self, condition: Tensor | None) -> None:
        """Mean and standard deviation of (rows, M)."""
        assert condition is not None
        self.mean.copy_(condition.mean(0))
        self.scale.copy_(_scale(condition, 0))


class ImageEmbedding(Embedding):
    """(C - mean) / scale per channel, then the convolutional encoder: once per pass, shared by all layers.

    Until it is fitted, integer images of `levels` are scaled to [0, 1].
    """

    def __init__(self, encoder: ImageEncoder, levels: int | None) -> None:
        super().__init__()
        self.shape = encoder.condition
        self.encoder = encoder
        self.register_buffer("mean", torch.zeros(encoder.shape[0], 1, 1))
        self.register_buffer("scale", torch.full((encoder.shape[0], 1, 1), float(levels - 1) if levels else 1.0))
        self.mean: Tensor
        self.scale: Tensor

    def forward(self, condition: Tensor | None) -> Condition:
        """(rows, C, H, W) in data units to the encoder's features."""
        assert condition is not None
        features: Condition = self.encoder((condition - self.mean) / self.scale)
        return features

    @torch.no_grad()
    def fit(self, condition: Tensor | None) -> None:
        """Mean and standard deviation per channel of (rows, C, H, W)."""
        assert condition is not None
        self.mean.copy_(condition.mean((0, 2, 3), keepdim=False)[:, None, None])
        self.scale.copy_(_scale(condition.transpose(0, 1).flatten(1), 1)[:, None, None])


def _scale(values: Tensor, dim: int) -> Tensor:
    deviation = values.std(dim, correction=0)
    return torch.where(deviation > 1e-8 * (1 + values.mean(dim).abs()), deviation, 1.0)
