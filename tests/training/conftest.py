"""Small data sets and recipes that fit in a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from model_store.signature import ArraySpec, ConditionSpec, ImageCondition, LabelCondition
from tests.training.small_models import SMALL
from training import recipe as recipes
from training.datasets.base import Dataset, Split
from training.recipe import Recipe

torch.set_num_threads(1)

TINY: dict[str, Any] = {
    "name": "tiny",
    "data": {"set": "gaussian-mixture", "rows": 2400, "held": 100},
    "model": SMALL,
    "fit": {"batch": 200, "steps_per_epoch": 6, "epochs": 3, "checkpoint_steps": 4, "average": 0.9, "rate": 0.005},
    "evaluation": {"draws": 4, "rows": 100, "samples": 2},
}


def tiny(**overrides: Any) -> Recipe:
    """The tiny recipe with dotted keys (`fit__epochs=1`) changed."""
    return recipes.check(recipes.changed(TINY, {key.replace("__", "."): value for key, value in overrides.items()}))


def shaped(recipe: Recipe, rows: int = 64) -> Dataset:
    """Random rows with the shapes and kinds of a recipe's data set, for what does not depend on the values."""
    random = np.random.default_rng(0)
    match recipe.data.set:
        case "gaussian-mixture":
            x, data = random.normal(size=(rows, 2)).astype(np.float32), ArraySpec(shape=(2,))
        case "digits":
            x, data = _images(random, rows, 8, 17)
        case "table":
            x, data = random.normal(size=(rows, 3)).astype(np.float32), ArraySpec(shape=(3,))
        case _:
            x, data = _images(random, rows, 28, 256)
    condition: np.ndarray
    spec: ConditionSpec
    if getattr(recipe.data, "condition", None) == "upscale":
        condition, array = _images(random, rows, 4, 17)
        spec = ImageCondition(array=array)
    else:
        classes = {"gaussian-mixture": 8}.get(recipe.data.set, 10)
        condition, spec = np.arange(rows) % classes, LabelCondition(classes=tuple(map(str, range(classes))))
    split = Split(x, condition)
    return Dataset(recipe.name, data, spec, split, split, split)


def _images(random: np.random.Generator, rows: int, side: int, levels: int) -> tuple[np.ndarray, ArraySpec]:
    spec = ArraySpec(shape=(1, side, side), dtype="uint8", levels=levels)
    return random.integers(0, levels, (rows, 1, side, side)).astype(np.uint8), spec


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "run"
