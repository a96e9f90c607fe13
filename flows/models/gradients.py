"""Oriented gradients: a fixed, label-free view of an image that an auto-encoder may look through and reconstruct."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

ORIENTATIONS = 8
CELL = 4


class OrientedGradients(nn.Module):
    """h_b = 2 sqrt(mean over a 4 x 4 cell of m cos^4+(theta - theta_b)): images in [0, 1] to (rows, 8 C, H/4, W/4).

    m and theta are magnitude and direction of the image's gradient (central differences), theta_b eight directions;
    only directions within 90 degrees count. A soft histogram of oriented gradients (Dalal and Triggs 2005): it keeps
    where edges are and which way they run, and forgets brightness. Nothing in it is fitted.

    >>> OrientedGradients()(torch.rand(2, 1, 28, 28)).shape
    torch.Size([2, 8, 7, 7])
    """

    def __init__(self) -> None:
        super().__init__()
        angles = torch.arange(ORIENTATIONS) * (2 * math.pi / ORIENTATIONS)
        central = torch.zeros(2, 1, 3, 3)
        central[0, 0, 1, 0], central[0, 0, 1, 2] = -1, 1
        central[1, 0, 0, 1], central[1, 0, 2, 1] = -1, 1
        directions = torch.stack((angles.cos(), angles.sin()), 1)[:, :, None, None]
        self.register_buffer("central", central, persistent=False)
        self.register_buffer("directions", directions, persistent=False)
        self.central: Tensor
        self.directions: Tensor

    def forward(self, image: Tensor) -> Tensor:
        """(rows, C, H, W) to (rows, 8 C, H/4, W/4); H and W are multiples of 4."""
        channels, height, width = image.shape[1:]
        gradient = functional.conv2d(image.reshape(-1, 1, height, width), self.central, padding=1)
        squared = gradient.square().sum(1, keepdim=True) + 1e-12
        along = functional.conv2d(gradient, self.directions).relu()
        energy = along.square().square() / (squared * squared.sqrt() + 1e-4)
        cells = (functional.avg_pool2d(energy, CELL) + 1e-4).sqrt() * 2
        return cells.reshape(-1, channels * ORIENTATIONS, height // CELL, width // CELL)


class GradientStem(nn.Module):
    """Oriented gradients beside the pixels themselves, each 4 x 4 cell folded into channels: (rows, 24 C, H/4, W/4)."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        channels, height, width = shape
        if height % CELL or width % CELL:
            raise ValueError(
                f"autoencoder.stem: gradients need sides that are multiples of {CELL}, got {height} x {width}"
            )
        self.shape = ((ORIENTATIONS + CELL**2) * channels, height // CELL, width // CELL)
        self.gradients = OrientedGradients()

    def forward(self, image: Tensor) -> Tensor:
        """(rows, C, H, W) in [0, 1] to the folded view."""
        channels, height, width = self.shape
        cells = image.reshape(-1, image.shape[1], height, CELL, width, CELL)  # pixel_unshuffle fails on 0 rows
        pixels = cells.permute(0, 1, 3, 5, 2, 4).reshape(-1, channels - image.shape[1] * ORIENTATIONS, height, width)
        return torch.cat((self.gradients(image), pixels), 1)
