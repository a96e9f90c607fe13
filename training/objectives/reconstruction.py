"""The auto-encoder stage of generative latent flows (GLF, Xiao 2019b): the likelihood does not reach the encoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from flows.models.latent import LatentFlow
from training.augmentation import Augmentation
from training.objectives.base import Terms
from training.rows import Batch


class Reconstruction:
    """|| x_hat - x ||^2 + w || h_hat - h(x) ||^2, both decoded from u + nu e with u = encoder(x) and e ~ N(0, I).

    Summed over pixels in [0, 1] and over the oriented gradients h; w = 0 leaves the published error of the pixels.
    """

    def __init__(
        self, model: LatentFlow, latent_noise: float, augmentation: Augmentation, gradient_weight: float = 0.0
    ) -> None:
        self.model, self.latent_noise, self.augmentation = model, latent_noise, augmentation
        self.gradient_weight = gradient_weight

    @property
    def module(self) -> nn.Module:
        """The auto-encoder alone."""
        return self.model.autoencoder

    def __call__(self, batch: Batch) -> Terms:
        """The squared errors and their weighted sum."""
        target = self.model.scale(batch.x)
        latent = encoded(self.model, target, self.augmentation, self.latent_noise)
        view = self.model.autoencoder.gradients
        if view is None or not self.gradient_weight:
            return {"loss": squared_error(self.model.autoencoder.decode(latent), target)}
        image, predicted = self.model.autoencoder.decode_gradients(latent)
        pixels = squared_error(image, target)
        gradients = squared_error(predicted, view(target))
        return {"loss": pixels + self.gradient_weight * gradients, "pixels": pixels, "gradients": gradients}

    def start(self, batch: Batch) -> None:
        """Nothing depends on the data."""


def encoded(model: LatentFlow, images: Tensor, augmentation: Augmentation, noise: float) -> Tensor:
    """u + nu e with u = encoder(augmented images) in training; u of the images as they are otherwise."""
    if not model.autoencoder.training:
        return model.autoencoder.encode(images)
    latent = model.autoencoder.encode(augmentation(images))
    return latent + noise * torch.randn_like(latent)


def squared_error(predicted: Tensor, target: Tensor) -> Tensor:
    """Summed over each row, averaged over rows."""
    return (predicted - target).square().flatten(1).sum(1).mean()
