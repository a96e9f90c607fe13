"""The decoder, after the flow: what it decodes is to look to a classifier like the image that was encoded."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from flows.models.latent import LatentFlow
from training.objectives.base import Terms
from training.objectives.perception import Perception
from training.objectives.reconstruction import squared_error
from training.rows import Batch
from training.settings import Loop


class PerceivedReconstruction:
    """`|| x_hat - x ||^2 + w d(x_hat, x)`, x_hat = decoder(u + nu e, v + nu e'), d of `Perception.distance`.

    u = encoder(x) is what the rows have for a condition; v is the code of the details of x, in models that have one,
    and is fitted with the decoder.

    The squared error alone is least for the mean over all that a latent leaves open, which is blurred and looks like
    no image at all. Encoder and flow stay as they are, and so does every likelihood and every inferred label.
    """

    def __init__(self, model: LatentFlow, perception: Perception, stage: Loop) -> None:
        self.model, self.perception = model, perception
        self.latent_noise, self.feature_weight = stage.latent_noise, stage.feature_weight
        self.code = None if model.detail is None else model.detail.code
        parts = {"trunk": model.autoencoder.trunk, "decoder": model.autoencoder.decoder}
        self.fitted = nn.ModuleDict(parts if self.code is None else parts | {"code": self.code})

    @property
    def module(self) -> nn.Module:
        """The decoder, and the code of the details."""
        return self.fitted

    def __call__(self, batch: Batch) -> Terms:
        """Both terms and their weighted sum."""
        target = self.model.scale(batch.x)
        assert batch.condition is not None
        u = self._noisy(batch.condition)
        detail = None if self.code is None else self.code.decode(self._noisy(self.code.encode(target)))
        image = self.model.autoencoder.decode(u, detail)
        pixels, features = squared_error(image, target), self.perception.distance(image, target)
        return {"loss": pixels + self.feature_weight * features, "reconstruction": pixels, "features": features}

    def start(self, batch: Batch) -> None:
        """Nothing depends on the data."""

    def _noisy(self, latent: Tensor) -> Tensor:
        return latent + self.latent_noise * torch.randn_like(latent) if self.fitted.training else latent
