"""The auto-encoder stage of generative latent flows (GLF, Xiao 2019b): the likelihood does not reach the encoder."""

from __future__ import annotations

import torch
from torch import nn

from flows.models.latent import LatentFlow
from training.augmentation import Augmentation
from training.objectives.base import Terms
from training.rows import Batch


class Reconstruction:
    """|| decoder(u + nu e) - x ||^2 summed over pixels in [0, 1], with u = encoder(x) and e ~ N(0, I)."""

    def __init__(self, model: LatentFlow, latent_noise: float, augmentation: Augmentation) -> None:
        self.model, self.latent_noise, self.augmentation = model, latent_noise, augmentation

    @property
    def module(self) -> nn.Module:
        """The auto-encoder alone."""
        return self.model.autoencoder

    def __call__(self, batch: Batch) -> Terms:
        """The squared error."""
        target, seen = self.augmentation.pair(self.model.scale(batch.x), self.module.training)
        latent = self.model.autoencoder.encode(seen)
        if self.module.training:
            latent = latent + self.latent_noise * torch.randn_like(latent)
        error = (self.model.autoencoder.decode(latent) - target).square()
        return {"loss": error.flatten(1).sum(1).mean()}

    def start(self, batch: Batch) -> None:
        """Nothing depends on the data."""
