"""Images as a classifier sees them, and the decoder that is fitted to look right to it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.training.conftest import tiny
from tests.training.small_models import LATENT, SMALL
from training import checkpoint_io, datasets
from training.datasets.base import Dataset
from training.errors import RecipeError
from training.fit import fit
from training.modelling import fresh_model
from training.objectives.perception import Classification, Perception
from training.phases import phases
from training.recipe import Recipe


@pytest.fixture
def perception() -> Perception:
    torch.manual_seed(0)
    return Perception((1, 9, 8), 3).eval()


def test_the_distance_is_relative_to_what_each_layer_holds(perception: Perception) -> None:
    image, other = torch.rand(5, 1, 9, 8), torch.rand(5, 1, 9, 8)
    assert perception.distance(image, image) == 0
    pairs = zip(perception.features(other), perception.features(image), strict=True)
    expected = sum(((a - b) ** 2).mean() / (b**2).mean() for a, b in pairs)
    torch.testing.assert_close(perception.distance(other, image), expected)


def test_gradients_go_to_the_decoded_image_alone(perception: Perception) -> None:
    image, decoded = torch.rand(5, 1, 9, 8, requires_grad=True), torch.rand(5, 1, 9, 8, requires_grad=True)
    perception.distance(decoded, image).backward()  # type: ignore[no-untyped-call]
    assert image.grad is None and decoded.grad is not None and decoded.grad.abs().sum() > 0
    assert all(weight.grad is None for weight in perception.parameters())


def test_a_classifier_is_fitted_and_then_the_decoder_alone(tmp_path: Path) -> None:
    flow = {"batch": 64, "epochs": 1}
    stage = {"batch": 64, "epochs": 2, "rate": 0.01}
    recipe = tiny(data={"set": "digits"}, model=LATENT | {"gradient": "through"}, fit=flow)
    dataset = datasets.load(recipe.data)
    before = fit(recipe, dataset, tmp_path / "without", say=lambda text: None)
    recipe = tiny(
        data={"set": "digits"},
        model=LATENT | {"gradient": "through"},
        fit=flow | {"decoder": stage | {"feature_weight": 50}, "perception": stage},
    )
    after = fit(recipe, dataset, tmp_path / "with", say=lambda text: None)
    assert list(after.histories) == ["perception", "flow", "decoder"]
    assert after.validation_loss == before.validation_loss
    decoders = ("autoencoder.trunk.", "autoencoder.decoder.")
    was, now = before.model.state_dict(), after.model.state_dict()
    assert all(torch.equal(was[name], now[name]) for name in was if not name.startswith(decoders))
    assert not all(torch.equal(was[name], now[name]) for name in was if name.startswith(decoders))
    for phase in ("perception", "decoder"):
        header, *rows = after.histories[phase].decode().splitlines()
        place = header.split(",").index("validation_loss")
        losses = [float(row.split(",")[place]) for row in rows]
        assert losses[-1] < losses[0]
    kept = checkpoint_io.load(tmp_path / "with" / "decoder" / "best.safetensors")["weights"]
    assert {name.split(".")[0] for name in kept} == {"decoder"}  # this one has no trunk


def test_the_classifier_follows_from_the_seed(tmp_path: Path) -> None:
    recipe = tiny(data={"set": "digits"}, model=LATENT | {"gradient": "through"}, fit={"perception": {}})
    dataset = datasets.load(recipe.data)
    first = [_classifier(recipe, dataset) for _ in range(2)]
    assert all(torch.equal(a, b) for a, b in zip(*(net.state_dict().values() for net in first), strict=True))


def _classifier(recipe: Recipe, dataset: Dataset) -> Perception:
    torch.manual_seed(torch.initial_seed() + 1)
    planned = phases(recipe, dataset, fresh_model(recipe, dataset))
    objective = planned[0].prepare(torch.device("cpu")).objective
    assert isinstance(objective, Classification)
    return objective.perception


def test_images_without_labels_are_refused() -> None:
    model = LATENT | {"gradient": "through", "flow": SMALL | {"family": "coupling"}}
    recipe = tiny(data={"set": "digits", "condition": "upscale"}, model=model, fit={"perception": {}})
    with pytest.raises(RecipeError, match=r"fit\.perception: needs images with labels"):
        _classifier(recipe, datasets.load(recipe.data))


def test_what_needs_a_classifier_says_so() -> None:
    for fit_settings in ({"decoder": {}}, {"feature_weight": 1.0}):
        recipe = tiny(data={"set": "digits"}, model=LATENT | {"gradient": "through"}, fit=fit_settings)
        with pytest.raises(RecipeError, match=r"fit\.perception: expected"):
            _classifier(recipe, datasets.load(recipe.data))


def test_features_are_a_term_of_the_likelihood_through_the_encoder(tmp_path: Path) -> None:
    fit_settings = {"batch": 64, "epochs": 1, "feature_weight": 3.0, "perception": {"batch": 64, "epochs": 1}}
    recipe = tiny(data={"set": "digits"}, model=LATENT | {"gradient": "through"}, fit=fit_settings)
    result = fit(recipe, datasets.load(recipe.data), tmp_path / "run", say=lambda text: None)
    header, row = result.histories["flow"].decode().splitlines()
    values = dict(zip(header.split(","), map(float, row.split(",")), strict=True))
    error = values["validation_reconstruction"] + 3.0 * values["validation_features"]
    expected = values["validation_nll"] + recipe.fit.reconstruction * error
    assert values["validation_loss"] == pytest.approx(expected, rel=1e-6)
