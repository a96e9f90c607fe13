"""Likelihood that reaches the encoder: one objective for auto-encoder and flow, with a normalised latent."""

from __future__ import annotations

import math

import torch
from torch import nn

from flows.models.gradients import OrientedGradients
from flows.models.latent import LatentFlow
from training.noise import fresh
from training.objectives.base import Terms
from training.objectives.reconstruction import encoded, squared_error
from training.rows import Batch
from training.settings import Fit


class LikelihoodThroughEncoder:
    """-log p(u + nu e | C) + w (|| x_hat - x ||^2 + g || h(x_hat) - h(x) ||^2), x_hat = decoder(u + nu e).

    u = encoder(x) is batch-normalised, e ~ N(0, I), and h are oriented gradients: errors of edges, so that what is
    decoded is not blurred wherever the latent leaves a doubt.

    The noise on u keeps the density of the latent from growing without bound along the directions that the encoder
    leaves unused; the reconstruction keeps u informative about x. In training only a share of the rows is decoded.
    """

    def __init__(self, model: LatentFlow, fit: Fit) -> None:
        self.model, self.latent_noise, self.augmentation = model, fit.latent_noise, fit.augmentation
        self.weight, self.share = fit.reconstruction, fit.reconstructed
        self.gradient_weight = fit.gradient_weight
        self.gradients = OrientedGradients()

    @property
    def module(self) -> nn.Module:
        """Auto-encoder and flow."""
        return self.model

    def __call__(self, batch: Batch) -> Terms:
        """Both terms and their weighted sum."""
        target = self.model.scale(batch.x)
        latent = encoded(self.model, target, self.augmentation, self.latent_noise)
        noise = fresh(self.model, len(latent), latent.device)
        nll = -self.model.latent_log_weight(latent, noise, batch.condition).mean()
        decoded = math.ceil(self.share * len(latent)) if self.model.training else len(latent)
        image, target = self.model.autoencoder.decode(latent[:decoded]), target[:decoded]
        terms = {"nll": nll, "reconstruction": squared_error(image, target)}
        error = terms["reconstruction"]
        if self.gradient_weight:
            view = self.gradients.to(target.device)
            terms["gradients"] = squared_error(view(image), view(target))
            error = error + self.gradient_weight * terms["gradients"]
        return {"loss": nll + self.weight * error, **terms}

    def start(self, batch: Batch) -> None:
        """ActNorm from the latents of the batch, normalised by the batch itself."""
        with torch.no_grad():
            latent = self.model.autoencoder.encode(self.model.scale(batch.x))
            noise = fresh(self.model, len(latent), latent.device)
            self.model.flow.initialize(latent, noise, batch.condition)
