"""The decoder's detail: noise for what the latent leaves open, which nothing reads off x and no likelihood sees."""

from __future__ import annotations

import pytest
import torch

from flows import build
from flows.config import LatentConfig
from flows.models.latent import LatentFlow
from tests.flows.models.catalogue import CATALOGUE, random_inputs, random_latent, random_model

WITH = pytest.mark.parametrize("name", ["latent-joint", "latent-gradients"])


def model_of(name: str) -> LatentFlow:
    model = random_model(CATALOGUE[name])
    assert isinstance(model, LatentFlow)
    return model


@WITH
def test_what_is_drawn_depends_on_the_detail(name: str) -> None:
    model = model_of(name)
    u = torch.randn(5, model.config.autoencoder.latent, dtype=torch.float64)
    one, other = (torch.randn(5, model.autoencoder.detail, dtype=torch.float64) for _ in range(2))
    images = [model.autoencoder.decode(u, detail) for detail in (one, other)]
    assert (images[0] - images[1]).abs().flatten(1).max(1).values.min() > 1e-3


@WITH
def test_without_a_detail_it_is_zero(name: str) -> None:
    model = model_of(name)
    u = torch.randn(5, model.config.autoencoder.latent, dtype=torch.float64)
    zero = torch.zeros(5, model.autoencoder.detail, dtype=torch.float64)
    torch.testing.assert_close(model.autoencoder.decode(u), model.autoencoder.decode(u, zero), rtol=0, atol=1e-14)


@WITH
def test_encode_answers_its_mode_and_decodes_to_the_reconstruction(name: str) -> None:
    model = model_of(name)
    x, noise, condition = random_inputs(model, 6)
    latent = model.encode(x, noise, condition)
    assert model.latent[-1].name == "detail" and not latent[-1].any()
    assert torch.equal(model.decode(latent, condition), model.reconstruct(x))


@WITH
def test_the_flow_never_meets_it(name: str) -> None:
    """Two draws that differ in the detail alone have one latent, so one likelihood."""
    model = model_of(name)
    *inner, _ = random_latent(model, 6)
    _, noise, condition = random_inputs(model, 6)
    u = model.flow.decode(tuple(inner), condition)
    assert torch.equal(model.of_embedding.score(u, noise, None), model.flow.score(u, noise, None))
    assert len(model.flow.latent) == len(model.latent) - 1


@WITH
def test_a_fresh_decoder_is_the_one_without_detail(name: str) -> None:
    """The same seed gives the same weights with and without, and the detail's are zero."""
    config = CATALOGUE[name]
    assert isinstance(config, LatentConfig)
    plain = config.model_copy(update={"autoencoder": config.autoencoder.model_copy(update={"detail": 0})})
    states = []
    for each in (plain, config):
        torch.manual_seed(4)
        states.append(build(each).state_dict())
    without, with_detail = states
    assert all(torch.equal(with_detail[key], value) for key, value in without.items())
    (added,) = with_detail.keys() - without.keys()
    assert added.endswith("detail_weight") and not with_detail[added].any()
