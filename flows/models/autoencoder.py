"""A small auto-encoder between images in [0, 1] and a latent vector."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from flows.config import AutoEncoderConfig
from flows.models.gradients import CELL, ORIENTATIONS, GradientStem

LIMIT = 1_000_000


class AutoEncoder(nn.Module):
    """u = encoder(x), x_hat = sigmoid(decoder(u, e)); x is (rows, C, H, W), u is (rows, latent), e is (rows, detail).

    e is noise for what u leaves open of x: standard normal where images are drawn, else its mode, zero.

    With `normalize` the latent is batch-normalised without affine: in training by the batch's statistics, else by
    running ones. `gradients` is the fixed view that the decoder's second head predicts, None without that head. Raises
    ValueError when there are more than a million parameters.
    """

    def __init__(self, shape: tuple[int, ...], config: AutoEncoderConfig, normalize: bool) -> None:
        super().__init__()
        self.encoder = Encoder(shape, config)
        self.normalization = nn.BatchNorm1d(config.latent, affine=False) if normalize else nn.Identity()
        self.detail = config.detail
        sizes = (config.latent, *config.decoder_dense)
        self.trunk = nn.Sequential(*_dense(sizes, config.detail))
        width, detail = sizes[-1], 0 if config.decoder_dense else config.detail
        convolutional = bool(config.decoder_channels)
        self.decoder: nn.Module = (
            ConvolutionalHead(width, shape, config, detail) if convolutional else DenseHead(width, shape, detail)
        )
        self.gradients = GradientStem(shape).gradients if config.predict_gradients else None
        if config.predict_gradients:
            self.gradient_head = DenseHead(width, (ORIENTATIONS * shape[0], shape[1] // CELL, shape[2] // CELL))
        count = sum(parameter.numel() for parameter in self.parameters())
        if count > LIMIT:
            raise ValueError(f"autoencoder: expected at most {LIMIT} parameters, this configuration has {count}")

    def encode(self, x: Tensor) -> Tensor:
        """Images in [0, 1] to latents."""
        latent: Tensor = self.normalization(self.encoder(x))
        return latent

    def decode(self, latent: Tensor, detail: Tensor | None = None) -> Tensor:
        """Latents to images in (0, 1), with `detail` (rows, detail) or zero."""
        both = latent if detail is None else torch.cat([latent, detail], 1)
        return torch.sigmoid(self.decoder(self.trunk(both)))

    def decode_gradients(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Latents to images in (0, 1) and the predicted oriented gradients; only with `predict_gradients`."""
        hidden = self.trunk(latent)
        return torch.sigmoid(self.decoder(hidden)), self.gradient_head(hidden)


class Encoder(nn.Sequential):
    """The stem, convolutions with residual blocks, then dense layers to the latent (not normalised)."""

    def __init__(self, shape: tuple[int, ...], config: AutoEncoderConfig) -> None:
        layers: list[nn.Module] = []
        channels, height, width = shape
        if config.stem == "gradients":
            stem = GradientStem(shape)
            layers.append(stem)
            channels, height, width = stem.shape
        strides = config.strides or ()
        for wide, kernel, stride, residual in zip(
            config.channels, config.kernels, strides, config.residual, strict=True
        ):
            layers += _convolution(channels, wide, kernel, stride)
            layers += [ResidualBlock(wide) for _ in range(residual)]
            channels = wide
            height, width = (_reduced(length, kernel, stride) for length in (height, width))
        layers += [nn.Flatten(), nn.Dropout(config.dropout)]
        sizes = (channels * height * width, *config.dense)
        super().__init__(*layers, *_dense(sizes), nn.Linear(sizes[-1], config.latent))


class DenseHead(nn.Module):
    """One dense layer to all elements of `shape`."""

    def __init__(self, features: int, shape: tuple[int, ...], detail: int = 0) -> None:
        super().__init__()
        self.linear = _linear(features, math.prod(shape), detail)
        self.shape = shape

    def forward(self, hidden: Tensor) -> Tensor:
        """(rows, features) to (rows, *shape)."""
        return self.linear(hidden).unflatten(1, self.shape)


class ConvolutionalHead(nn.Module):
    """A dense layer to a small map, a convolution, then stride-2 transposed convolutions; returns logits."""

    def __init__(self, width: int, shape: tuple[int, ...], config: AutoEncoderConfig, detail: int) -> None:
        super().__init__()
        channels, self.height, self.width = shape
        factor = 2 ** len(config.decoder_channels)
        self.seed = (config.seed_channels, math.ceil(self.height / factor), math.ceil(self.width / factor))
        self.dense = nn.Sequential(*_dense((width, math.prod(self.seed)), detail))
        first = config.decoder_channels[0]
        layers = _convolution(config.seed_channels, first, kernel=3, stride=1)
        layers += [ResidualBlock(first) for _ in range(config.decoder_residual)]
        for narrow, wide in zip(config.decoder_channels[:-1], config.decoder_channels[1:], strict=True):
            layers += [nn.ConvTranspose2d(narrow, wide, 4, 2, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU()]
        self.maps = nn.Sequential(*layers, nn.ConvTranspose2d(config.decoder_channels[-1], channels, 4, 2, 1))

    def forward(self, hidden: Tensor) -> Tensor:
        """(rows, width) to logits (rows, C, H, W), cropped where H or W is not a multiple of the scale."""
        logits: Tensor = self.maps(self.dense(hidden).unflatten(1, self.seed))
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


class DetailedLinear(nn.Linear):
    """W u + b + V e of rows [u, e] or, with e = 0, of rows u alone. V = 0 at the start: as if there were no detail."""

    def __init__(self, inputs: int, outputs: int, detail: int, bias: bool) -> None:
        super().__init__(inputs, outputs, bias=bias)
        self.detail_weight = nn.Parameter(torch.zeros(outputs, detail))

    def forward(self, rows: Tensor) -> Tensor:
        """(rows, inputs + detail) or (rows, inputs) to (rows, outputs)."""
        if rows.shape[1] == self.in_features:
            return super().forward(rows)
        given, detail = rows[:, : self.in_features], rows[:, self.in_features :]
        return super().forward(given) + functional.linear(detail, self.detail_weight)


def _linear(inputs: int, outputs: int, detail: int, bias: bool = True) -> nn.Linear:
    return DetailedLinear(inputs, outputs, detail, bias) if detail else nn.Linear(inputs, outputs, bias=bias)


def _dense(sizes: tuple[int, ...], detail: int = 0) -> list[nn.Module]:
    """Dense layers between those sizes; the first takes the detail."""
    layers: list[nn.Module] = []
    for place, (inputs, outputs) in enumerate(pairwise(sizes)):
        first = _linear(inputs, outputs, detail if place == 0 else 0, bias=False)
        layers += [first, nn.BatchNorm1d(outputs), nn.ReLU()]
    return layers


def _reduced(length: int, kernel: int, stride: int) -> int:
    reduced = (length + 2 - kernel) // stride + 1
    if reduced < 1:
        raise ValueError(f"autoencoder.channels: too many levels, nothing is left of an image {length} wide")
    return reduced
