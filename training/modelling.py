"""From a recipe and its data set to a model: what the data know is filled into the architecture."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from pydantic import ValidationError

from flows import config as architectures
from flows.architecture import build
from flows.models.base import Model
from model_store.signature import ArraySpec, ImageCondition, LabelCondition, VectorCondition
from training.datasets.base import Dataset
from training.errors import RecipeError
from training.recipe import Recipe, explain
from training.seeds import derive

FAMILIES: dict[
    str, type[architectures.JointConfig] | type[architectures.CouplingConfig] | type[architectures.LatentConfig]
] = {
    "joint": architectures.JointConfig,
    "coupling": architectures.CouplingConfig,
    "latent": architectures.LatentConfig,
}
PREPROCESSING_ROWS = 100_000


def architecture(recipe: Recipe, dataset: Dataset) -> architectures.Architecture:
    """The complete configuration. Raises RecipeError that names the key under `model`."""
    given = dict(recipe.model)
    family = given.get("family")
    if family not in FAMILIES:
        raise RecipeError(f"model.family: expected one of {', '.join(FAMILIES)}, got {family!r}")
    for key in ("data", "condition"):
        if key in given:
            raise RecipeError(f"model.{key}: follows from the data set, leave it out")
    content: dict[str, Any] = {"data": _array(dataset.data), "condition": _condition(dataset), **given}
    if family != "latent" and "preprocessing" not in given and (support := _support(dataset)):
        content["preprocessing"] = [support, {"kind": "standardize"}]
    try:
        return FAMILIES[family].model_validate(content)
    except ValidationError as error:
        lines = explain(error, FAMILIES[family], content).splitlines()
        raise RecipeError("\n".join(f"model.{line}" for line in lines)) from error


def fresh_model(recipe: Recipe, dataset: Dataset) -> Model:
    """The model with weights that follow from the seed, and its scalings fitted to the training rows."""
    torch.manual_seed(derive(recipe.seed, "weights"))
    try:
        model = build(architecture(recipe, dataset))
    except ValueError as error:
        raise RecipeError(f"model: {error}") from error
    if model.space == "data":
        rows = dataset.train.take(slice(0, PREPROCESSING_ROWS))
        model.fit_preprocessing(_tensor(rows.x), None if rows.condition is None else _tensor(rows.condition))
    return model


def _tensor(array: np.ndarray) -> torch.Tensor:
    tensor = torch.from_numpy(np.array(array))
    return tensor.float() if tensor.dtype == torch.uint8 else tensor


def _array(spec: ArraySpec) -> dict[str, Any]:
    return {"shape": spec.shape, "levels": spec.levels if spec.is_integer else None}


def _condition(dataset: Dataset) -> dict[str, Any]:
    match dataset.condition:
        case LabelCondition(classes=classes):
            return {"kind": "label", "classes": len(classes)}
        case VectorCondition(array=array):
            return {"kind": "vector", "size": array.size}
        case ImageCondition(array=array):
            return {"kind": "image", **_array(array)}
    return {"kind": "none"}


def _support(dataset: Dataset) -> dict[str, Any] | None:
    """The support bijection that the columns of x ask for; None if all of them are real."""
    columns = [column for column in dataset.columns if column.role == "x"]
    if all(column.lower is None and column.upper is None for column in columns):
        return None
    lower, upper = [column.lower for column in columns], [column.upper for column in columns]
    return {"kind": "support", "lower": lower, "upper": upper}
