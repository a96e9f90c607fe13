"""The phases of a latent flow behind its first fit: the flow settles, and the decoder is fitted to look right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.conftest import tiny
from tests.training.small_models import LATENT, SMALL
from training import datasets
from training.errors import RecipeError
from training.fit import Fitted, fit
from training.modelling import fresh_model
from training.objectives.base import Terms
from training.objectives.noisy_latents import NoisyLatents
from training.phases import phases
from training.recipe import Recipe
from training.rows import Batch

STAGE: dict[str, Any] = {"batch": 64, "epochs": 2, "rate": 0.01}
LAST: dict[str, Any] = {"settling": STAGE, "perception": STAGE, "decoder": STAGE | {"feature_weight": 50}}


def recipe_of(fit_settings: dict[str, Any], **model: Any) -> Recipe:
    flow = {"batch": 64, "epochs": 1}
    whole = LATENT | {"gradient": "through"} | model
    return tiny(data={"set": "digits"}, model=whole, fit=flow | fit_settings)


def fitted(folder: Path, recipe: Recipe, resume: bool = False) -> Fitted:
    return fit(recipe, datasets.load(recipe.data), folder, resume=resume, say=lambda text: None)


def losses(history: bytes) -> list[float]:
    header, *rows = history.decode().splitlines()
    place = header.split(",").index("validation_loss")
    return [float(row.split(",")[place]) for row in rows]


def falls(history: bytes) -> bool:
    first, *_, last = losses(history)
    return last < first


def test_the_flow_alone_settles_on_the_latents_as_they_are(tmp_path: Path) -> None:
    before = fitted(tmp_path / "before", recipe_of({}))
    after = fitted(tmp_path / "after", recipe_of({"settling": STAGE}))
    assert list(after.histories) == ["flow", "settling"] and falls(after.histories["settling"])
    was, now = before.model.state_dict(), after.model.state_dict()
    assert all(
        torch.equal(was[name], now[name]) == (not name.startswith("flow.")) for name in was if was[name].ndim > 1
    )
    assert after.validation_loss == pytest.approx(min(losses(after.histories["settling"])))


def test_a_fit_with_all_phases_goes_on_where_it_stood(tmp_path: Path) -> None:
    recipe = recipe_of(LAST)
    whole = fitted(tmp_path / "whole", recipe)
    for phase in ("decoder", "settling"):  # as if killed before it
        for file in (tmp_path / "whole" / phase).iterdir():
            file.unlink()
        again = fitted(tmp_path / "whole", recipe, resume=True)
        for name, value in again.model.state_dict().items():
            assert torch.equal(value, whole.model.state_dict()[name]), (phase, name)


def test_the_noise_moves_latents_and_leaves_their_conditions() -> None:
    class Seen:
        module = torch.nn.Identity()

        def __call__(self, batch: Batch) -> Terms:
            self.batch = batch
            return {}

        def start(self, batch: Batch) -> None:
            self.batch = batch

    seen = Seen()
    batch = Batch(torch.zeros(4000, 3), torch.zeros(4000, 2), torch.arange(4000))
    noisy = NoisyLatents(seen, 0.5)
    for ask in (noisy, noisy.start):
        ask(batch)
        assert seen.batch.x.std() == pytest.approx(0.5, rel=0.05)
        assert seen.batch.condition is batch.condition


def test_a_flow_whose_encoder_keeps_still_has_settled() -> None:
    recipe = recipe_of({"settling": STAGE}, gradient="stop")
    dataset = datasets.load(recipe.data)
    with pytest.raises(RecipeError, match=r"fit\.settling: with model\.gradient stop"):
        phases(recipe, dataset, fresh_model(recipe, dataset))


@pytest.mark.parametrize("phase", ["perception", "autoencoder", "settling", "decoder"])
def test_models_of_other_families_have_no_such_phases(phase: str) -> None:
    recipe = tiny(data={"set": "digits"}, model=SMALL, fit={phase: STAGE})
    dataset = datasets.load(recipe.data)
    with pytest.raises(RecipeError, match=rf"fit\.{phase}: is a phase of the family latent, this model is of joint"):
        phases(recipe, dataset, fresh_model(recipe, dataset))


def test_a_detail_that_nothing_fits_is_refused() -> None:
    model = {"autoencoder": LATENT["autoencoder"] | {"detail": 2}}
    recipe = recipe_of({}, **model)
    dataset = datasets.load(recipe.data)
    with pytest.raises(RecipeError, match=r"model\.autoencoder\.detail: expected fit\.decoder"):
        phases(recipe, dataset, fresh_model(recipe, dataset))
