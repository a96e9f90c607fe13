"""Likelihood that reaches the encoder: one objective for auto-encoder and flow, with a normalised latent."""

from __future__ import annotations

import torch
from torch import nn

from flows.models.latent import LatentFlow
from training.augmentation import Augmentation
from training.noise import fresh
from training.objectives.base import Terms
from training.objectives.reconstruction import squared_error
from training.rows import Batch


class LikelihoodThroughEncoder:
    """-log p(u + nu e | C) + w || decoder(u + nu e) - x ||^2, with u = encoder(x) batch-normalised and e ~ N(0, I).

    The noise on u keeps the density of the latent from growing without bound along the directions that the encoder
    leaves unused; the reconstruction keeps u informative about x.
    """

    def __init__(self, model: LatentFlow, latent_noise: float, weight: float, augmentation: Augmentation) -> None:
        self.model, self.latent_noise, self.weight, self.augmentation = model, latent_noise, weight, augmentation

    @property
    def module(self) -> nn.Module:
        """Auto-encoder and flow."""
        return self.model

    def __call__(self, batch: Batch) -> Terms:
        """Both terms and their weighted sum."""
        target, seen = self.augmentation.pair(self.model.scale(batch.x), self.model.training)
        latent = self.model.autoencoder.encode(seen)
        if self.model.training:
            latent = latent + self.latent_noise * torch.randn_like(latent)
        noise = fresh(self.model, len(latent), latent.device)
        nll = -self.model.latent_log_weight(latent, noise, batch.condition).mean()
        error = squared_error(self.model.autoencoder.decode(latent), target)
        return {"loss": nll + self.weight * error, "nll": nll, "reconstruction": error}

    def start(self, batch: Batch) -> None:
        """ActNorm from the latents of the batch, normalised by the batch itself."""
        with torch.no_grad():
            latent = self.model.autoencoder.encode(self.model.scale(batch.x))
            noise = fresh(self.model, len(latent), latent.device)
            self.model.flow.initialize(latent, noise, batch.condition)
