"""The phases of a fit: one for most models; latent flows may have others before and behind it."""

from __future__ import annotations

from flows.models.base import Model
from flows.models.latent import LatentFlow
from training.datasets.base import Dataset
from training.errors import RecipeError
from training.latent_phases import LatentPhases
from training.objectives.likelihood import likelihood
from training.phase import Phase, Splits
from training.recipe import Recipe
from training.rows import Rows

PHASES = ("perception", "autoencoder", "flow", "settling", "decoder")


def phases(recipe: Recipe, dataset: Dataset, model: Model) -> list[Phase]:
    """In order; a later one is prepared after the earlier ones are fitted.

    Raises RecipeError for one that the model or the data set does not admit.
    """
    fit = recipe.fit
    splits = Splits(Rows.of(dataset.train), Rows.of(dataset.validation))
    if isinstance(model, LatentFlow):
        return LatentPhases(recipe, dataset, model, splits).all()
    for name in PHASES:
        if name != "flow" and getattr(fit, name) is not None:
            raise RecipeError(f"fit.{name}: is a phase of the family latent, this model is of {model.config.family}")
    return [splits.phase("flow", fit, lambda: likelihood(model, len(splits.train), fit.padding, recipe.seed))]
