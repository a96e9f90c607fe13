"""The convolutional encoder of image conditions."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from flows.condition import Condition, ConditionShape


class ImageEncoder(nn.Module):
    """image (rows, C, H, W) -> Condition(vector: (rows, features), image: (rows, spatial, H, W)).

    One level per entry of `channels`: a 3x3 convolution and SiLU at its scale, then one that halves height and width
    (rounding up). What is left is flattened, so places are kept, and mapped to `features` numbers. With `spatial` > 0
    the first level's maps, at the image's own height and width, are mapped by 1x1 to so many channels of spatial
    context, which `Condition.at` resizes to each layer's scale. No normalisation over the batch: a row's features are
    its own.

    Raises ValueError, naming the argument, for an empty or non-positive size.

    >>> import torch
    >>> encoder = ImageEncoder((1, 8, 6), channels=(4, 8), features=5, spatial=2)
    >>> encoder.condition
    ConditionShape(features=5, channels=2)
    >>> c = encoder(torch.zeros(3, 1, 8, 6))
    >>> c.vector.shape, c.at(4, 4).shape
    (torch.Size([3, 5]), torch.Size([3, 2, 4, 4]))
    """

    def __init__(
        self, shape: tuple[int, int, int], *, channels: Sequence[int] = (16, 32), features: int = 32, spatial: int = 0
    ) -> None:
        super().__init__()
        if not channels:
            raise ValueError("channels: expected at least one level")
        for name, sizes in (("shape", shape), ("channels", channels), ("features", (features,))):
            if min(sizes) < 1:
                raise ValueError(f"{name}: expected positive sizes, got {sizes}")
        self.shape = tuple(shape)
        self.condition = ConditionShape(features=features, channels=spatial)
        inputs, height, width = shape
        self.levels = nn.ModuleList()
        self.halvings = nn.ModuleList()
        for outputs in channels:
            self.levels.append(nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.SiLU()))
            self.halvings.append(nn.Sequential(nn.Conv2d(outputs, outputs, 3, 2, padding=1), nn.SiLU()))
            inputs, height, width = outputs, (height + 1) // 2, (width + 1) // 2
        self.features = nn.Linear(inputs * height * width, features)
        self.context = nn.Conv2d(channels[0], spatial, 1) if spatial else None

    def forward(self, image: Tensor) -> Condition:
        """(rows, C, H, W) to the features and, if announced, the spatial context.

        Raises ValueError for an image of another shape.
        """
        if tuple(image.shape[1:]) != self.shape:
            raise ValueError(f"condition: expected images of shape {self.shape}, got {tuple(image.shape[1:])}")
        h, context = image, None
        for index, (level, halving) in enumerate(zip(self.levels, self.halvings, strict=True)):
            h = level(h)
            if index == 0 and self.context is not None:
                context = self.context(h)
            h = halving(h)
        return Condition(vector=self.features(h.flatten(1)), image=context)
