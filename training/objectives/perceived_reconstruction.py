"""The decoder alone, after the flow: what it decodes is to look to a classifier like the image that was encoded."""

from __future__ import annotations

import torch
from torch import nn

from flows.models.latent import LatentFlow
from training.objectives.base import Terms
from training.objectives.perception import Perception
from training.objectives.reconstruction import squared_error
from training.rows import Batch
from training.settings import Loop


class PerceivedReconstruction:
    """`|| x_hat - x ||^2 + w d(x_hat, x)`, x_hat = decoder(u + nu e), d of `Perception.distance`.

    u = encoder(x) is what the rows have for a condition.

    The squared error alone is least for the mean over all that a latent leaves open, which is blurred and looks like
    no image at all. Encoder and flow stay as they are, and so does every likelihood and every inferred label.
    """

    def __init__(self, model: LatentFlow, perception: Perception, stage: Loop) -> None:
        self.model, self.perception = model, perception
        self.latent_noise, self.feature_weight = stage.latent_noise, stage.feature_weight
        self.decoding = nn.ModuleDict({"trunk": model.autoencoder.trunk, "decoder": model.autoencoder.decoder})

    @property
    def module(self) -> nn.Module:
        """The decoder."""
        return self.decoding

    def __call__(self, batch: Batch) -> Terms:
        """Both terms and their weighted sum."""
        target = self.model.scale(batch.x)
        assert batch.condition is not None
        latent = batch.condition
        if self.decoding.training:
            latent = latent + self.latent_noise * torch.randn_like(latent)
        image = self.model.autoencoder.decode(latent)
        pixels, features = squared_error(image, target), self.perception.distance(image, target)
        return {"loss": pixels + self.feature_weight * features, "reconstruction": pixels, "features": features}

    def start(self, batch: Batch) -> None:
        """Nothing depends on the data."""
