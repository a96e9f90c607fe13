"""Random shifts, flips and erased rectangles of images, drawn from the default generator that each step seeds.

The encoder sees the changed image, the decoder is to return the image as it was (denoising auto-encoder: Vincent 2008):
latents need not say where a thing lies or which way it looks, and samples look like the data. But of a changed image
the decoder can return only the mean over what it may have been: rows that are left as they are teach it detail.
"""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from model_store.signature import Frozen


class Augmentation(Frozen):
    """`shift` pixels at most in each direction (zeros come in), horizontal `flip` with probability 1/2, and with
    probability `erase` one rectangle with sides of `erase_sides` pixels set to zero. Only a `share` of the rows is
    changed, the last ones: the first are those that a fit decodes when it does not decode them all."""

    shift: Annotated[int, Field(ge=0, le=8)] = 0
    flip: bool = False
    erase: Annotated[float, Field(ge=0, le=1)] = 0.0
    erase_sides: tuple[int, int] = (4, 12)
    share: Annotated[float, Field(gt=0, le=1)] = 1.0

    def __call__(self, images: Tensor) -> Tensor:
        """What the encoder sees in training of images (rows, C, H, W) in [0, 1]."""
        kept = len(images) - math.ceil(self.share * len(images))
        return torch.cat([images[:kept], self._changed(images[kept:])]) if kept else self._changed(images)

    def _changed(self, images: Tensor) -> Tensor:
        seen = self.moved(images)
        return erased(seen, self.erase, *self.erase_sides) if self.erase else seen

    def moved(self, images: Tensor) -> Tensor:
        """Shifted and flipped copies."""
        return shifted(images, self.shift, self.flip) if self.shift or self.flip else images


def shifted(images: Tensor, shift: int, flip: bool) -> Tensor:
    """Each image moved by its own whole number of pixels, and mirrored or not."""
    rows, channels, height, width = images.shape
    device = images.device
    padded = functional.pad(images, (shift,) * 4)
    down = torch.randint(0, 2 * shift + 1, (rows, 1), device=device)
    right = torch.randint(0, 2 * shift + 1, (rows, 1), device=device)
    columns = torch.arange(width, device=device).expand(rows, width)
    if flip:
        mirrored = torch.rand(rows, 1, device=device) < 0.5
        columns = torch.where(mirrored, width - 1 - columns, columns)
    wide = width + 2 * shift
    index = (down + torch.arange(height, device=device))[:, :, None] * wide + (right + columns)[:, None, :]
    index = index.view(rows, 1, -1).expand(rows, channels, height * width)
    return padded.flatten(2).gather(2, index).view(rows, channels, height, width)


def erased(images: Tensor, probability: float, smallest: int, largest: int) -> Tensor:
    """One rectangle of zeros in some of the images."""
    rows, _, height, width = images.shape
    device = images.device
    tall = torch.randint(smallest, largest + 1, (rows, 1), device=device)
    wide = torch.randint(smallest, largest + 1, (rows, 1), device=device)
    top = (torch.rand(rows, 1, device=device) * (height - tall)).long()
    left = (torch.rand(rows, 1, device=device) * (width - wide)).long()
    y, x = torch.arange(height, device=device)[None], torch.arange(width, device=device)[None]
    inside = ((y >= top) & (y < top + tall))[:, :, None] & ((x >= left) & (x < left + wide))[:, None, :]
    inside &= torch.rand(rows, 1, 1, device=device) < probability
    return images.masked_fill(inside[:, None], 0.0)
