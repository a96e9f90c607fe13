"""The objectives of latent flows: the encoder sees changed images, the decoder is to return them as they were."""

from __future__ import annotations

import pytest
import torch

from flows.architecture import build
from flows.config import AutoEncoderConfig, Data, JointConfig, LabelCondition, LatentConfig
from flows.models.latent import LatentFlow
from training.augmentation import Augmentation
from training.objectives.likelihood_through_encoder import LikelihoodThroughEncoder
from training.objectives.reconstruction import Reconstruction
from training.rows import Batch
from training.settings import Fit

SHAPE = (1, 8, 8)


@pytest.fixture
def model() -> LatentFlow:
    torch.manual_seed(0)
    data, condition = Data(shape=SHAPE, levels=256), LabelCondition(classes=3)
    flow = JointConfig(data=Data(shape=(4,)), condition=condition, blocks=1, padding=3, preprocessing=())
    encoder = AutoEncoderConfig(
        latent=4, channels=(4,), kernels=(3,), residual=(0,), decoder_channels=(4,), seed_channels=2
    )
    built = build(LatentConfig(data=data, condition=condition, autoencoder=encoder, flow=flow, gradient="through"))
    assert isinstance(built, LatentFlow)
    return built


@pytest.fixture
def batch() -> Batch:
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (40, *SHAPE), generator=generator).float()
    return Batch(images, torch.arange(40) % 3, torch.arange(40))


def test_the_decoder_returns_the_image_as_it_was(
    model: LatentFlow, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blind the encoder by erasing all it sees: what is decoded is still held against the image."""
    blind = Augmentation(erase=1.0, erase_sides=(8, 8))
    seen: list[torch.Tensor] = []
    encode = model.autoencoder.encode

    def watched(x: torch.Tensor) -> torch.Tensor:
        seen.append(x)
        return encode(x)

    monkeypatch.setattr(model.autoencoder, "encode", watched)
    monkeypatch.setattr(model.autoencoder, "decode", lambda _: model.scale(batch.x))
    for objective in (
        Reconstruction(model, 0.0, blind),
        LikelihoodThroughEncoder(model, Fit(augmentation=blind)),
    ):
        seen.clear()
        model.train()
        terms = objective(batch)
        error = terms.get("reconstruction", terms["loss"])
        assert not seen[0].any() and error == 0
        model.eval()
        objective(batch)
        assert torch.equal(seen[1], model.scale(batch.x))


def test_a_share_of_the_rows_estimates_the_whole_reconstruction(model: LatentFlow, batch: Batch) -> None:
    """Batch normalisation is kept still, so that a row's error does not depend on its neighbours."""
    errors = {}
    for share in (0.25, 1.0):
        objective = LikelihoodThroughEncoder(model, Fit(reconstructed=share, latent_noise=0.0))
        model.eval()
        model.training = True
        found = []
        for first in range(0, 40, 10):
            order = torch.arange(40).roll(first)
            found.append(objective(Batch(batch.x[order], order % 3, order))["reconstruction"])
        errors[share] = torch.stack(found)
    assert errors[0.25].std() > 1e-3
    torch.testing.assert_close(errors[0.25].mean(), errors[1.0].mean())
    torch.testing.assert_close(errors[1.0], errors[1.0].mean().expand(4))


def test_the_loss_is_the_weighted_sum(model: LatentFlow, batch: Batch) -> None:
    terms = LikelihoodThroughEncoder(model, Fit(reconstruction=3.0))(batch)
    torch.testing.assert_close(terms["loss"], terms["nll"] + 3.0 * terms["reconstruction"])
