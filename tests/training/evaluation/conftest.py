from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from inference.loaded import Loaded
from inference.loading import load_version
from model_store.manifest import unpublished
from model_store.signature import ArraySpec, VectorCondition
from tests.training.small_models import LATENT, SMALL
from training import datasets, publishing
from training.datasets.base import Dataset, Split
from training.modelling import fresh_model
from training.recipe import Recipe, check

Version = tuple[Loaded, Dataset]


def exported(recipe: Recipe, dataset: Dataset) -> Loaded:
    """A model with random weights, exported and loaded as a version is before its publication."""
    torch.manual_seed(0)
    model = fresh_model(recipe, dataset)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn(parameter.shape)
    made = publishing._export(model, dataset)
    draft = publishing._draft(model, made, recipe, dataset, recipe.name, ())
    files = dict(made.files)
    if isinstance(dataset.condition, VectorCondition):
        assert dataset.train.condition is not None
        files[publishing.PRIOR_SAMPLE] = publishing.save({"condition": dataset.train.condition[:512]})
    return load_version(unpublished(draft, files), files)


def version(content: dict[str, Any]) -> Iterator[Version]:
    recipe = check({"name": "tiny", **content})
    dataset = datasets.load(recipe.data)
    loaded = exported(recipe, dataset)
    yield loaded, dataset
    loaded.close()


@pytest.fixture(scope="session")
def mixture_version() -> Iterator[Version]:
    """A joint flow with padding, labels and a known truth."""
    yield from version({"data": {"set": "gaussian-mixture", "rows": 800, "held": 400}, "model": SMALL})


@pytest.fixture(scope="session")
def latent_version() -> Iterator[Version]:
    """A latent flow of integer images with labels."""
    yield from version({"data": {"set": "digits"}, "model": LATENT})


@pytest.fixture(scope="session")
def upscale_version() -> Iterator[Version]:
    """A coupling flow of integer images given an image."""
    yield from version({"data": {"set": "digits", "condition": "upscale"}, "model": {**SMALL, "family": "coupling"}})


@pytest.fixture(scope="session")
def vector_version() -> Iterator[Version]:
    """A coupling flow given two numbers, with names that nobody should trust."""
    rng = np.random.default_rng(0)
    condition = rng.normal(size=(700, 2)).astype(np.float32)
    x = condition @ np.array([[1, 0, 1], [0, 2, 1]], np.float32) + rng.normal(size=(700, 3)).astype(np.float32)

    def split(start: int, stop: int) -> Split:
        return Split(x[start:stop], condition[start:stop])

    dataset = Dataset(
        name="vectors",
        data=ArraySpec(shape=(3,), names=("a|b", "<script>alert(1)</script>", "`c`")),
        condition=VectorCondition(array=ArraySpec(shape=(2,))),
        train=split(0, 500),
        validation=split(500, 600),
        test=split(600, 700),
    )
    # The recipe's data are not used; the data set above is.
    recipe = check({"name": "tiny", "data": {"set": "digits"}, "model": {**SMALL, "family": "coupling"}})
    loaded = exported(recipe, dataset)
    yield loaded, dataset
    loaded.close()
