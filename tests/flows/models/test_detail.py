"""A code of details beside the latent: it completes images, and leaves the label to the latent."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from flows import build
from flows.config import LatentConfig
from flows.models.latent import LatentFlow
from tests.flows.models.catalogue import AUTOENCODER, CATALOGUE, DIGITS, LABEL, SMALL, random_inputs, random_model


@pytest.fixture(scope="module")
def model() -> LatentFlow:
    found = random_model(CATALOGUE["latent-detail"])
    assert isinstance(found, LatentFlow)
    return found


def configured(**changes: Any) -> LatentConfig:
    content = {"data": DIGITS, "condition": LABEL, "autoencoder": AUTOENCODER, "flow": {"family": "joint", **SMALL}}
    return LatentConfig.model_validate(content | {"detail": {"flow": SMALL}} | changes)


def test_the_posterior_of_the_label_is_that_of_the_latent_alone(model: LatentFlow) -> None:
    x, noise, _ = random_inputs(model, 8)
    embedding = model.embed(x)
    u = embedding[:, : model.config.autoencoder.latent]
    scores, of_latent = model.score(x, noise, None), model.flow.score(u, noise, None)
    torch.testing.assert_close(scores.log_softmax(1), of_latent.log_softmax(1), rtol=0, atol=1e-9)
    added = (scores - of_latent).mean(1)
    assert (added - added.mean()).abs().max() > 0.1  # it is a density of [u, v] all the same
    torch.testing.assert_close(model.infer(x, noise)[0], model.flow.infer(u, noise)[0])


def test_the_code_is_decoded_and_without_it_the_decoder_takes_its_mean(model: LatentFlow) -> None:
    x, _, _ = random_inputs(model, 8)
    embedding = model.embed(x)
    latent = model.config.autoencoder.latent
    plain = model.autoencoder.decode(embedding[:, :latent])
    at_mean = torch.cat((embedding[:, :latent], torch.zeros_like(embedding[:, latent:])), 1)
    torch.testing.assert_close(model.decode_embedding(at_mean), plain)
    assert (model.decode_embedding(embedding) - plain).abs().max() > 0.01


def test_what_it_adds_comes_last_so_that_the_rest_begins_with_the_same_weights() -> None:
    built = []
    for detail in (None, {"flow": SMALL}):
        torch.manual_seed(3)
        built.append(build(configured(detail=detail)).state_dict())
    plain, detailed = built
    assert all(torch.equal(plain[name], detailed[name]) for name in plain)
    assert all(name.startswith("detail.") for name in detailed.keys() - plain.keys())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"autoencoder": AUTOENCODER | {"decoder_channels": ()}}, "detail: needs a convolutional decoder"),
        (
            {"detail": {"size": 5, "flow": SMALL | {"data": {"shape": (4,)}}}},
            r"detail.flow.data: expected shape \(5,\)",
        ),
        ({"detail": {"flow": SMALL | {"condition": LABEL}}}, "detail.flow.condition: expected a vector of 6"),
    ],
)
def test_what_does_not_fit_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        configured(**changes)


def test_its_parameters_count_as_the_auto_encoders() -> None:
    with pytest.raises(ValueError, match="autoencoder: expected at most 1000000 parameters"):
        build(
            configured(detail={"size": 16_000, "flow": SMALL | {"conditioner": {"width": 1, "depth": 1}, "blocks": 1}})
        )
