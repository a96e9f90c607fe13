"""The phases of a fit: one for most models; latent flows may have others before and behind it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch

from flows.models.base import Model
from flows.models.coupling import ConditionalCouplingFlow
from flows.models.joint import JointFlow
from flows.models.latent import LatentFlow
from model_store.signature import LabelCondition
from training.datasets.base import Dataset
from training.errors import RecipeError
from training.objectives.base import Objective
from training.objectives.conditional_likelihood import ConditionalLikelihood
from training.objectives.joint_likelihood import JointLikelihood
from training.objectives.likelihood_through_encoder import LikelihoodThroughEncoder
from training.objectives.perceived_reconstruction import PerceivedReconstruction
from training.objectives.perception import Classification, Perception
from training.objectives.reconstruction import Reconstruction
from training.recipe import Recipe
from training.rows import Rows
from training.seeds import derive
from training.settings import Fit, Loop

PHASES = ("perception", "autoencoder", "flow", "decoder")
ENCODED_ROWS = 1000


@dataclass(frozen=True)
class Prepared:
    """An objective and the rows that it is fitted on and watched on."""

    objective: Objective
    train: Rows
    validation: Rows


Whole = Callable[[Callable[[], Objective]], Callable[[torch.device], Prepared]]


@dataclass(frozen=True)
class Phase:
    """A name (also the folder), the settings of its loop, and what to prepare when its turn comes."""

    name: str
    loop: Loop
    prepare: Callable[[torch.device], Prepared]


def phases(recipe: Recipe, dataset: Dataset, model: Model) -> list[Phase]:
    """In order. A later one is prepared after the earlier ones are fitted."""
    fit = recipe.fit
    train, validation = Rows.of(dataset.train), Rows.of(dataset.validation)

    def whole(objective: Callable[[], Objective]) -> Callable[[torch.device], Prepared]:
        return lambda device: Prepared(objective(), train.to(device), validation.to(device))

    if not isinstance(model, LatentFlow):
        return [Phase("flow", fit, whole(lambda: likelihood(model, len(train), fit, recipe.seed)))]
    perception = _perception(recipe, dataset) if fit.perception is not None else None
    first, last = _around(model, fit, perception, whole)
    if model.config.gradient == "through":
        through = LikelihoodThroughEncoder(model, fit, perception)
        return [*first, Phase("flow", fit, whole(lambda: through)), *last]

    def encoded(device: torch.device) -> Prepared:
        latents = _latents(model, train.to(device), fit, recipe.seed, fit.copies)
        held = _latents(model, validation.to(device), fit, recipe.seed, copies=1)
        model.flow.fit_preprocessing(latents.x, latents.condition)
        return Prepared(likelihood(model.flow, len(latents), fit, recipe.seed), latents, held)

    stage = fit.autoencoder or Loop()
    reconstruction = Reconstruction(model, stage.latent_noise, stage.augmentation, stage.gradient_weight)
    return [*first, Phase("autoencoder", stage, whole(lambda: reconstruction)), Phase("flow", fit, encoded), *last]


def _around(
    model: LatentFlow, fit: Fit, perception: Perception | None, whole: Whole
) -> tuple[list[Phase], list[Phase]]:
    """What comes before the latent flow, and what behind it."""
    if perception is None:
        if fit.decoder is not None or fit.feature_weight:
            raise RecipeError("fit.perception: expected the settings of a fit; fit.decoder and feature_weight need it")
        return [], []
    assert fit.perception is not None
    classification = Classification(perception, model.scale, fit.perception.augmentation)
    first = [Phase("perception", fit.perception, whole(lambda: classification))]
    if fit.decoder is None:
        return first, []
    reconstruction = PerceivedReconstruction(model, perception, fit.decoder)
    return first, [Phase("decoder", fit.decoder, whole(lambda: reconstruction))]


def _perception(recipe: Recipe, dataset: Dataset) -> Perception:
    if not isinstance(dataset.condition, LabelCondition):
        raise RecipeError("fit.perception: needs images with labels, which a classifier can learn")
    torch.manual_seed(derive(recipe.seed, "perception"))
    return Perception(dataset.data.shape, len(dataset.condition.classes))


def likelihood(model: Model, rows: int, fit: Fit, seed: int) -> Objective:
    """The objective of the model's family."""
    if isinstance(model, JointFlow):
        return JointLikelihood(model, rows, fit.padding, seed)
    return ConditionalLikelihood(cast(ConditionalCouplingFlow, model))


@torch.no_grad()
def _latents(model: LatentFlow, rows: Rows, fit: Fit, seed: int, copies: int) -> Rows:
    """u of every row, `copies` times: the first as it is, the others augmented anew."""
    model.eval()
    latents = []
    for copy in range(copies):
        torch.manual_seed(derive(seed, "copy", copy))
        for start in range(0, len(rows), ENCODED_ROWS):
            images = model.scale(rows.slice(start, start + ENCODED_ROWS).x)
            latents.append(model.autoencoder.encode(fit.augmentation.moved(images) if copy else images))
    condition = None if rows.condition is None else torch.cat([rows.condition] * copies)
    return Rows(torch.cat(latents), condition)
