"""The decoder alone, after the flow: what it decodes is to look to a classifier like the image that was encoded."""

from __future__ import annotations

import torch
from torch import nn

from flows.models.latent import LatentFlow
from training.objectives.base import Terms
from training.objectives.perception import Perception
from training.objectives.reconstruction import squared_error
from training.rows import Batch
from training.settings import Decoding


class PerceivedReconstruction:
    """`w || x_hat - x ||^2 + v d(x_hat, x)`, x_hat = decoder(u + nu e), u = encoder(x), d of `Perception.distance`.

    The squared error alone is least for the mean over all that a latent leaves open, which is blurred and looks like
    no image at all. Encoder and flow stay as they are, and so does every likelihood and every inferred label.
    """

    def __init__(self, model: LatentFlow, perception: Perception, stage: Decoding) -> None:
        self.model, self.perception, self.stage = model, perception, stage
        self.decoding = nn.ModuleDict({"trunk": model.autoencoder.trunk, "decoder": model.autoencoder.decoder})

    @property
    def module(self) -> nn.Module:
        """The decoder."""
        return self.decoding

    def __call__(self, batch: Batch) -> Terms:
        """Both terms and their weighted sum."""
        target = self.model.scale(batch.x)
        with torch.no_grad():
            latent = self.model.autoencoder.encode(target)
        if self.decoding.training:
            latent = latent + self.stage.latent_noise * torch.randn_like(latent)
        image = self.model.autoencoder.decode(latent)
        pixels, features = squared_error(image, target), self.perception.distance(image, target)
        return {"loss": self.stage.pixels * pixels + self.stage.features * features, "reconstruction": pixels}

    def start(self, batch: Batch) -> None:
        """Nothing depends on the data."""
