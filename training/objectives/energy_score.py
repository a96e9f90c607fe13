"""The decoder alone, after the flow: its draws are to be spread around the image as a classifier's view of it is."""

from __future__ import annotations

from typing import Any

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
            sizes = [norm.square().mean().sqrt() for norm in _norms(wanted)]
        one, other = self._views(first), self._views(second)
        near = (self._distance(one, wanted, sizes) + self._distance(other, wanted, sizes)) / 2
        apart = self._distance(one, other, sizes)
        error = squared_error(first.detach(), target)
        return {"loss": near - apart / 2, "near": near, "apart": apart, "reconstruction": error}

    def start(self, batch: Batch) -> None:
        """Nothing depends on the data."""

    def _views(self, image: Tensor) -> list[Tensor]:
        """The pixels and each layer of the classifier."""
        return [image, *self.perception.features(image)]

    def _distance(self, some: list[Tensor], others: list[Tensor], sizes: list[Tensor]) -> Tensor:
        """`d(a, b) = sum_v w_v mean |a_v - b_v| / rms |x_v|` over `_norms`, w_v = 1 for those of the pixels."""
        weights = [1.0, 1.0] + [self.feature_weight] * (len(sizes) - 2)
        norms = _norms([a - b for a, b in zip(some, others, strict=True)])
        return torch.stack(
            [weight * norm.mean() / size for weight, norm, size in zip(weights, norms, sizes, strict=True)]
        ).sum()


def _norms(views: list[Tensor]) -> list[Tensor]:
    """Norms of the pixels, whole, (rows,), and by patches, (rows, patches); of each layer, whole and place by place.

    The squares are summed once: of a whole layer the norm is that of the norms of its places.
    """
    image, *layers = views
    patches = functional.unfold(image, PATCH, stride=STRIDE)
    norms = [torch.linalg.vector_norm(image.flatten(1), dim=1), NormOfPlaces.apply(patches)]
    for layer in layers:
        places = NormOfPlaces.apply(layer.flatten(2)) if layer.ndim > 2 else layer
        norms.append(torch.linalg.vector_norm(places, dim=1))
        if layer.ndim > 2:
            norms.append(places)
    return norms


class NormOfPlaces(torch.autograd.Function):
    """`n_rp = |v_r.p|`, (rows, size, places) to (rows, places), with `dn/dv = v / n`, and 0 where n is.

    Along a dimension that is not the last, torch's own norm takes ten times as long.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        """The root of the sum of squares."""
        norms = values.square().sum(1).sqrt_()
        ctx.save_for_backward(values, norms)
        return norms

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """`g v / n`."""
        values, norms = ctx.saved_tensors
        return values * (gradients[0] / norms).masked_fill_(norms == 0, 0).unsqueeze(1)
