"""The decoder alone, after the flow: its draws are to be spread around the image as a classifier's view of it is."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from flows.models.latent import LatentFlow
from training.objectives.base import Terms
from training.objectives.perception import Perception
from training.objectives.reconstruction import squared_error
from training.rows import Batch
from training.settings import Loop

PATCH, STRIDE = 4, 2


class EnergyScore:
    """`1/2 sum_i d(x_i, x) - 1/2 d(x_1, x_2)`, x_i = decoder(u + nu n_i, e_i) with two draws of noise for each row.

    u = encoder(x) is what the rows have for a condition, e_i is the decoder's `detail` and d is `distance`. The
    expectation is least where the draws are distributed as x given u is (the energy score of Gneiting and Raftery
    2007, eq. 22; as a loss for networks that are fed noise: Shen and Meinshausen 2024, "Engression"). An error between
    one decoded image and x alone would be least for the middle of all that a latent leaves open, which is blurred and
    looks like no image at all. Encoder and flow stay as they are, and so does every likelihood and inferred label.
    """

    def __init__(self, model: LatentFlow, perception: Perception, stage: Loop) -> None:
        self.model = model
        self.perception = perception.eval().requires_grad_(False)  # it is fitted
        self.latent_noise, self.feature_weight = stage.latent_noise, stage.feature_weight
        self.decoding = nn.ModuleDict({"trunk": model.autoencoder.trunk, "decoder": model.autoencoder.decoder})

    @property
    def module(self) -> nn.Module:
        """The decoder."""
        return self.decoding

    def __call__(self, batch: Batch) -> Terms:
        """The score, its two halves, and the squared error of the first draw."""
        target = self.model.scale(batch.x)
        assert batch.condition is not None
        latent = torch.cat([batch.condition] * 2)
        if self.decoding.training:
            latent = latent + self.latent_noise * torch.randn_like(latent)
        detail = torch.randn(len(latent), self.model.autoencoder.detail, device=latent.device)
        first, second = self.model.autoencoder.decode(latent, detail).chunk(2)
        with torch.no_grad():
            wanted = self._views(target)
            sizes = [view.square().sum(-1).mean().sqrt() for view in wanted]
        one, other = self._views(first), self._views(second)
        near = (self._distance(one, wanted, sizes) + self._distance(other, wanted, sizes)) / 2
        apart = self._distance(one, other, sizes)
        error = squared_error(first.detach(), target)
        return {"loss": near - apart / 2, "near": near, "apart": apart, "reconstruction": error}

    def start(self, batch: Batch) -> None:
        """Nothing depends on the data."""

    def _views(self, image: Tensor) -> list[Tensor]:
        """The pixels and each layer of the classifier: whole, (rows, all), and place by place, (rows, places, size)."""
        views = [image.flatten(1), functional.unfold(image, PATCH, stride=STRIDE).transpose(1, 2)]
        for layer in self.perception.features(image):
            views.append(layer.flatten(1))
            if layer.ndim > 2:
                views.append(layer.flatten(2).transpose(1, 2))
        return views

    def _distance(self, some: list[Tensor], others: list[Tensor], sizes: list[Tensor]) -> Tensor:
        """`d(a, b) = sum_v w_v mean |a_v - b_v| / rms |x_v|` over views v, w_v = 1 for those of the pixels."""
        weights = [1.0, 1.0] + [self.feature_weight] * (len(sizes) - 2)
        views = zip(weights, some, others, sizes, strict=True)
        return torch.stack(
            [weight * torch.linalg.vector_norm(a - b, dim=-1).mean() / size for weight, a, b, size in views]
        ).sum()
