"""A small convolutional auto-encoder between images in [0, 1] and a latent vector."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from flows.config import AutoEncoderConfig

LIMIT = 1_000_000


class AutoEncoder(nn.Module):
    """u = encoder(x), x_hat = sigmoid(decoder(u)); x is (rows, C, H, W), u is (rows, latent).

    With `normalize` the latent is batch-normalised without affine: in training by the batch's statistics, else by
    running ones. Raises ValueError when there are more than a million parameters.
    """

    def __init__(self, shape: tuple[int, ...], config: AutoEncoderConfig, normalize: bool) -> None:
        super().__init__()
        self.encoder = Encoder(shape, config)
        self.normalization = nn.BatchNorm1d(config.latent, affine=False) if normalize else nn.Identity()
        self.decoder = Decoder(shape, config)
        count = sum(parameter.numel() for parameter in self.parameters())
        if count > LIMIT:
            raise ValueError(f"autoencoder: expected at most {LIMIT} parameters, this configuration has {count}")

    def encode(self, x: Tensor) -> Tensor:
        """Images in [0, 1] to latents."""
        latent: Tensor = self.normalization(self.encoder(x))
        return latent

    def decode(self, latent: Tensor) -> Tensor:
        """Latents to images in (0, 1)."""
        return torch.sigmoid(self.decoder(latent))


class Encoder(nn.Sequential):
    """Stride-2 convolutions with residual blocks, then dense layers to the latent (not normalised)."""

    def __init__(self, shape: tuple[int, ...], config: AutoEncoderConfig) -> None:
        channels, height, width = shape
        layers: list[nn.Module] = []
        for wide, kernel, residual in zip(config.channels, config.kernels, config.residual, strict=True):
            layers += _convolution(channels, wide, kernel, stride=2)
            layers += [ResidualBlock(wide) for _ in range(residual)]
            channels = wide
            height, width = (_halved(length, kernel) for length in (height, width))
        layers += [nn.Flatten(), nn.Dropout(config.dropout)]
        features = channels * height * width
        if config.dense:
            layers += [nn.Linear(features, config.dense), nn.BatchNorm1d(config.dense), nn.ReLU()]
            features = config.dense
        super().__init__(*layers, nn.Linear(features, config.latent))


class Decoder(nn.Module):
    """A dense layer to a small map, a convolution, then stride-2 transposed convolutions; returns logits."""

    def __init__(self, shape: tuple[int, ...], config: AutoEncoderConfig) -> None:
        super().__init__()
        channels, self.height, self.width = shape
        factor = 2 ** len(config.decoder_channels)
        self.seed = (config.seed_channels, math.ceil(self.height / factor), math.ceil(self.width / factor))
        features = math.prod(self.seed)
        self.dense = nn.Sequential(nn.Linear(config.latent, features), nn.BatchNorm1d(features), nn.ReLU())
        first = config.decoder_channels[0]
        layers = _convolution(config.seed_channels, first, kernel=3, stride=1)
        layers += [ResidualBlock(first) for _ in range(config.decoder_residual)]
        for narrow, wide in zip(config.decoder_channels[:-1], config.decoder_channels[1:], strict=True):
            layers += [nn.ConvTranspose2d(narrow, wide, 4, 2, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU()]
        self.maps = nn.Sequential(*layers, nn.ConvTranspose2d(config.decoder_channels[-1], channels, 4, 2, 1))

    def forward(self, latent: Tensor) -> Tensor:
        """(rows, latent) to logits (rows, C, H, W), cropped where H or W is not a multiple of the scale."""
        logits: Tensor = self.maps(self.dense(latent).unflatten(1, self.seed))
        return logits[:, :, : self.height, : self.width]


class ResidualBlock(nn.Module):
    """relu(x + g(x)) with two convolutions in g, the identity at the start (He 2016; Goyal 2017)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        last = nn.BatchNorm2d(channels)
        nn.init.zeros_(last.weight)
        self.branch = nn.Sequential(
            *_convolution(channels, channels, kernel=3, stride=1),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            last,
        )

    def forward(self, x: Tensor) -> Tensor:
        """(rows, C, H, W) to the same shape."""
        return functional.relu(x + self.branch(x))


def _convolution(inputs: int, outputs: int, kernel: int, stride: int) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]


def _halved(length: int, kernel: int) -> int:
    halved = (length + 2 - kernel) // 2 + 1
    if halved < 1:
        raise ValueError(f"autoencoder.channels: too many levels, nothing is left of an image {length} wide")
    return halved
