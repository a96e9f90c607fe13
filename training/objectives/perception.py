"""A small convolutional classifier, fitted for its inner maps: two images are alike when those maps are."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.augmentation import Augmentation
from training.objectives.base import Terms
from training.rows import Batch

WIDTHS, STRIDES, FEATURES = (32, 48, 64), (1, 2, 2), 96


class Perception(nn.Module):
    """Scores of the classes from images (rows, C, H, W) in [0, 1], by three convolutions and a dense layer."""

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        channels, *sides = shape
        maps: list[nn.Module] = []
        for width, stride in zip(WIDTHS, STRIDES, strict=True):
            convolution = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
            maps.append(nn.Sequential(convolution, nn.BatchNorm2d(width), nn.GELU()))
            channels, sides = width, [-(-side // stride) for side in sides]
        self.maps = nn.ModuleList(maps)
        self.dense = nn.Linear(channels * math.prod(sides), FEATURES)
        self.head = nn.Linear(FEATURES, classes)

    def features(self, image: Tensor) -> list[Tensor]:
        """What each layer but the last makes of the images: three maps and (rows, 96)."""
        found = []
        for layer in self.maps:
            image = layer(image)
            found.append(image)
        return [*found, functional.gelu(self.dense(image.flatten(1)))]

    def forward(self, image: Tensor) -> Tensor:
        """(rows, C, H, W) to (rows, classes)."""
        scores: Tensor = self.head(self.features(image)[-1])
        return scores

    def distance(self, decoded: Tensor, image: Tensor) -> Tensor:
        """`sum_l mean (phi_l(decoded) - phi_l(image))^2 / mean phi_l(image)^2`; gradients go to `decoded` alone.

        Johnson, Alahi and Fei-Fei 2016, Eq. 2, each layer relative to what it holds.
        """
        self.eval().requires_grad_(False)  # it is fitted: gradients of its own weights would be work for nothing
        with torch.no_grad():
            wanted = self.features(image)
        pairs = zip(self.features(decoded), wanted, strict=True)
        return torch.stack([(found - want).square().mean() / want.square().mean() for found, want in pairs]).sum()


class Classification:
    """`-log softmax(perception(x))_C` of images with a label: fits a `Perception`."""

    def __init__(self, perception: Perception, scale: Callable[[Tensor], Tensor], augmentation: Augmentation) -> None:
        self.perception, self.scale, self.augmentation = perception, scale, augmentation

    @property
    def module(self) -> nn.Module:
        """The classifier."""
        return self.perception

    def __call__(self, batch: Batch) -> Terms:
        """The cross-entropy."""
        image = self.scale(batch.x)
        if self.perception.training:
            image = self.augmentation(image)
        assert batch.condition is not None
        return {"loss": functional.cross_entropy(self.perception(image), batch.condition)}

    def start(self, batch: Batch) -> None:
        """Nothing depends on the data."""
