"""The condition: one typed object that every bijection, conditioner and base density accepts.

A model embeds the raw condition once (labels one-hot, vectors standardised, images through a convolutional encoder) and
hands the same `Condition` to all its layers. Layers are sized at construction by a `ConditionShape` and never look at
what the condition was before.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class ConditionShape:
    """What layers can count on: `features` numbers per row, and `channels` of spatial context (0: none)."""

    features: int = 0
    channels: int = 0


@dataclass(frozen=True)
class Condition:
    """The embedded condition of a batch.

    `vector` is (rows, features); `image` is (rows, channels, height, width) spatial context that `at` resizes to the
    scale of the layer that asks, so that its height and width need not match those of x.

    >>> Condition.none().vector is None
    True
    >>> Condition.label(torch.tensor([2, 0]), classes=3).vector
    tensor([[0., 0., 1.],
            [1., 0., 0.]])
    >>> Condition(image=torch.ones(1, 2, 8, 8)).at(4, 4).shape
    torch.Size([1, 2, 4, 4])
    """

    vector: Tensor | None = None
    image: Tensor | None = None

    @staticmethod
    def none() -> Condition:
        """The condition of an unconditional flow."""
        return Condition()

    @staticmethod
    def label(index: Tensor, classes: int, dtype: torch.dtype | None = None) -> Condition:
        """One-hot rows of class indices (rows,)."""
        one_hot = functional.one_hot(index, classes)
        return Condition(vector=one_hot.to(dtype or torch.get_default_dtype()))

    def at(self, height: int, width: int) -> Tensor:
        """The spatial context resized to height x width: the pyramid's level for that scale.

        Raises ValueError if the condition has no image.
        """
        if self.image is None:
            raise ValueError("condition: expected an image, got none")
        if self.image.shape[-2:] == (height, width):
            return self.image
        return functional.interpolate(
            self.image, (height, width), mode="bilinear", antialias=False, align_corners=False
        )
