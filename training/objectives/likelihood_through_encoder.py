"""Likelihood that reaches the encoder: one objective for auto-encoder and flow, with a normalised latent."""

from __future__ import annotations

import math

import torch
from torch import nn

from flows.models.gradients import OrientedGradients
from flows.models.latent import LatentFlow
from training.noise import fresh
from training.objectives.base import Terms
from training.objectives.perception import Perception
from training.objectives.reconstruction import encoded, squared_error
from training.rows import Batch
from training.settings import Fit


class LikelihoodThroughEncoder:
    """-log p(u + nu e | C) + w (|| x_hat - x ||^2 + g || h(x_hat) - h(x) ||^2 + f d(x_hat, x)).

    u = encoder(x) is batch-normalised, e ~ N(0, I), x_hat = decoder(u + nu e), h are oriented gradients and d is
    `Perception.distance`: errors of edges and of features, so that what is decoded is not blurred wherever the latent
    leaves a doubt.

    The noise on u keeps the density of the latent from growing without bound along the directions that the encoder
    leaves unused; the reconstruction keeps u informative about x. In training only a share of the rows is decoded.
    """

    def __init__(self, model: LatentFlow, fit: Fit, perception: Perception | None = None) -> None:
        self.model, self.latent_noise, self.augmentation = model, fit.latent_noise, fit.augmentation
        self.weight, self.share = fit.reconstruction, fit.reconstructed
        self.gradient_weight, self.feature_weight = fit.gradient_weight, fit.feature_weight
        self.perception = perception
        self.gradients = OrientedGradients().to(next(model.parameters()).device)

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
            terms["gradients"] = squared_error(self.gradients(image), self.gradients(target))
            error = error + self.gradient_weight * terms["gradients"]
        if self.perception is not None and self.feature_weight:
            terms["features"] = self.perception.distance(image, target)
            error = error + self.feature_weight * terms["features"]
        return {"loss": nll + self.weight * error, **terms}

    def start(self, batch: Batch) -> None:
        """ActNorm from the latents of the batch, normalised by the batch itself."""
        with torch.no_grad():
            latent = self.model.autoencoder.encode(self.model.scale(batch.x))
            noise = fresh(self.model, len(latent), latent.device)
            self.model.flow.initialize(latent, noise, batch.condition)
