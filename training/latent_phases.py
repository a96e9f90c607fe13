"""The phases of a latent flow: a classifier to look with, auto-encoder, flow, decoder."""

from __future__ import annotations

import torch

from flows.models.latent import LatentFlow
from model_store.signature import LabelCondition
from training.datasets.base import Dataset
from training.errors import RecipeError
from training.objectives.energy_score import EnergyScore
from training.objectives.likelihood import likelihood
from training.objectives.likelihood_through_encoder import LikelihoodThroughEncoder
from training.objectives.noisy_latents import NoisyLatents
from training.objectives.perception import Classification, Perception
from training.objectives.reconstruction import Reconstruction
from training.phase import Phase, Prepared, Splits
from training.recipe import Recipe
from training.rows import Rows
from training.seeds import derive, reseed
from training.settings import Loop

ENCODED_ROWS = 1000


class LatentPhases:
    """What a recipe asks for, in order: perception, autoencoder, flow, settling, decoder.

    Auto-encoder and flow are one phase where the likelihood reaches the encoder. Raises RecipeError when a phase lacks
    another that it needs.
    """

    def __init__(self, recipe: Recipe, dataset: Dataset, model: LatentFlow, splits: Splits) -> None:
        self.fit, self.seed = recipe.fit, recipe.seed
        self.model, self.splits = model, splits
        self.perception = self._fresh_perception(dataset)
        if model.autoencoder.detail and self.fit.decoder is None:
            raise RecipeError("model.autoencoder.detail: expected fit.decoder too, the phase that fits what it draws")
        if model.config.gradient == "stop" and self.fit.settling is not None:
            raise RecipeError("fit.settling: with model.gradient stop the flow has latents that keep still as it is")

    def all(self) -> list[Phase]:
        """In order."""
        fit, model, perception = self.fit, self.model, self.perception
        planned = []
        if perception is not None and fit.perception is not None:
            classification = Classification(perception, model.scale, fit.perception.augmentation)
            planned.append(self.splits.phase("perception", fit.perception, lambda: classification))
        if model.config.gradient == "through":
            through = LikelihoodThroughEncoder(model, fit, perception)
            planned.append(self.splits.phase("flow", fit, lambda: through))
            if fit.settling is not None:
                planned.append(self._settling(fit.settling))
        else:
            planned += self._two_stages()
        if perception is not None and fit.decoder is not None:
            planned.append(self._decoder(perception, fit.decoder))
        return planned

    def _two_stages(self) -> list[Phase]:
        stage = self.fit.autoencoder or Loop()
        reconstruction = Reconstruction(self.model, stage.latent_noise, stage.augmentation, stage.gradient_weight)

        def prepare(device: torch.device) -> Prepared:
            rows = self.splits.to(device)
            latents, held = self._latents(rows.train, self.fit.copies), self._latents(rows.validation, 1)
            self.model.flow.fit_preprocessing(latents.x, latents.condition)
            objective = likelihood(self.model.flow, len(latents), self.fit.padding, self.seed)
            return Prepared(objective, latents, held)

        first = self.splits.phase("autoencoder", stage, lambda: reconstruction)
        return [first, Phase("flow", self.fit, prepare)]

    def _settling(self, stage: Loop) -> Phase:
        """On latents with their own conditions."""

        def prepare(device: torch.device) -> Prepared:
            rows = self.splits.to(device).each(lambda images: self._latents(images, 1))
            objective = likelihood(self.model.flow, len(rows.train), self.fit.padding, self.seed)
            return Prepared(NoisyLatents(objective, stage.latent_noise), rows.train, rows.validation)

        return Phase("settling", stage, prepare)

    def _decoder(self, perception: Perception, stage: Loop) -> Phase:
        """On images whose condition is their latent."""

        def prepare(device: torch.device) -> Prepared:
            rows = self.splits.to(device).each(self._with_latents)
            return Prepared(EnergyScore(self.model, perception, stage), rows.train, rows.validation)

        return Phase("decoder", stage, prepare)

    @torch.no_grad()
    def _latents(self, rows: Rows, copies: int) -> Rows:
        """u of every row, `copies` times: the first as it is, the others augmented anew."""
        self.model.eval()
        latents = []
        for copy in range(copies):
            reseed(rows.device, derive(self.seed, "copy", copy))
            for start in range(0, len(rows), ENCODED_ROWS):
                images = self.model.scale(rows.slice(start, start + ENCODED_ROWS).x)
                latents.append(self.model.autoencoder.encode(self.fit.augmentation.moved(images) if copy else images))
        condition = None if rows.condition is None else torch.cat([rows.condition] * copies).to(rows.device)
        return Rows(torch.cat(latents), condition)

    def _with_latents(self, images: Rows) -> Rows:
        """Images whose condition is their latent, where the images lie."""
        return Rows(images.x, self._latents(images, 1).x.to(images.x.device), images.device)

    def _fresh_perception(self, dataset: Dataset) -> Perception | None:
        """Weights from the seed; None where the recipe has no use for it."""
        if self.fit.perception is None:
            if self.fit.decoder is not None or self.fit.feature_weight:
                raise RecipeError(
                    "fit.perception: expected the settings of a fit; fit.decoder and feature_weight need it"
                )
            return None
        if not isinstance(dataset.condition, LabelCondition):
            raise RecipeError("fit.perception: needs images with labels, which a classifier can learn")
        torch.manual_seed(derive(self.seed, "perception"))
        return Perception(dataset.data.shape, len(dataset.condition.classes))
