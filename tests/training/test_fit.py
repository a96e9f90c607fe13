"""What a fit finds: the density of a known law, for each family of objective."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from tests.training.conftest import shaped, tiny
from tests.training.small_models import LATENT
from training import checkpoint_io, datasets
from training.callbacks import HISTORY
from training.fit import Fitted, fit
from training.recipe import Recipe

FIT = {"batch": 250, "epochs": 15, "rate": 0.01, "average": 0.95}


def fitted(recipe: Recipe, folder: Path) -> Fitted:
    return fit(recipe, datasets.load(recipe.data), folder, say=lambda text: None)


def test_a_gaussian_given_a_number_reaches_its_entropy(tmp_path: Path) -> None:
    """x = 2 c + 0.5 e: H(x | c) = 1/2 log(2 pi e 0.25)."""
    random = np.random.default_rng(0)
    c = random.normal(size=4000)
    path = tmp_path / "line.csv"
    pl.DataFrame({"x": 2 * c + 0.5 * random.normal(size=4000), "y": random.normal(size=4000), "c": c}).write_csv(path)
    data = {"set": "table", "file": str(path), "x": ["x", "y"], "condition": ["c"]}
    model = {"family": "coupling", "blocks": 4, "conditioner": {"width": 32, "depth": 1}}
    result = fitted(tiny(data=data, model=model, fit=FIT), tmp_path / "run")
    entropy = 0.5 * np.log(2 * np.pi * np.e * 0.25) + 0.5 * np.log(2 * np.pi * np.e)
    assert result.validation_loss == pytest.approx(entropy, abs=4 * np.sqrt(1 / 400))  # 2 dimensions, 400 rows
    lines = (result.folder / "flow" / HISTORY).read_text().splitlines()
    assert lines[0].startswith("epoch,step,seconds,rate,train_loss,validation_loss")
    assert len(lines) == 16


def test_the_joint_likelihood_bounds_the_entropy_and_falls(tmp_path: Path) -> None:
    recipe = tiny(fit=FIT | {"epochs": 12, "rate": 0.02}, model__mixing="lu", data__held=400)
    result = fitted(recipe, tmp_path / "run")
    losses = [float(line.split(",")[5]) for line in result.histories["flow"].decode().splitlines()[1:]]
    entropy = 1 + np.log(2 * np.pi * 0.04)
    assert losses[-1] < losses[0] / 2 and losses[-1] > entropy


def test_padding_noise_fixed_per_row(tmp_path: Path) -> None:
    fresh = fitted(tiny(fit__epochs=1), tmp_path / "fresh")
    fixed = fitted(tiny(fit__epochs=1, fit__padding="fixed"), tmp_path / "fixed")
    again = fitted(tiny(fit__epochs=1, fit__padding="fixed"), tmp_path / "again")
    assert fixed.validation_loss == again.validation_loss != fresh.validation_loss


def test_two_stages_leave_the_encoder_alone_in_the_second(tmp_path: Path) -> None:
    stage = {"batch": 64, "epochs": 2, "augmentation": {"shift": 1}}
    fit_settings = {"batch": 64, "epochs": 2, "copies": 2, "augmentation": {"shift": 1}, "autoencoder": stage}
    recipe = tiny(data={"set": "digits"}, model=LATENT | {"gradient": "stop"}, fit=fit_settings)
    result = fitted(recipe, tmp_path / "run")
    assert list(result.histories) == ["autoencoder", "flow"]
    first = checkpoint_io.load(tmp_path / "run" / "autoencoder" / "best.safetensors")["weights"]
    own = result.model.autoencoder.state_dict()  # type: ignore[union-attr, operator]
    assert all(torch.equal(own[name], value) for name, value in first.items())
    steps = int(result.histories["flow"].decode().splitlines()[-1].split(",")[1])
    assert steps == 2 * (2 * 1258 // 64)  # the training images came up twice in each epoch


def test_the_likelihood_reaches_the_encoder(tmp_path: Path) -> None:
    recipe = tiny(data={"set": "digits"}, model=LATENT | {"gradient": "through"}, fit={"batch": 64, "epochs": 1})
    result = fitted(recipe, tmp_path / "run")
    header, row = result.histories["flow"].decode().splitlines()
    values = dict(zip(header.split(","), map(float, row.split(",")), strict=True))
    loss = values["validation_nll"] + recipe.fit.reconstruction * values["validation_reconstruction"]
    assert values["validation_loss"] == pytest.approx(loss, rel=1e-6)


def test_rows_of_images_stay_bytes() -> None:
    from training.rows import Rows

    rows = Rows.of(shaped(tiny(data={"set": "digits"})).train)
    assert rows.x.dtype == torch.uint8
    batch = rows.batch(torch.tensor([3, 1]))
    assert batch.x.dtype == torch.float32 and torch.equal(batch.x, rows.x[[3, 1]].float())
