"""A flow alone, on latents that keep still."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.objectives.base import Objective, Terms
from training.rows import Batch


class NoisyLatents:
    """The likelihood of u + nu e with e ~ N(0, I), and of a condition that is a latent itself with the same noise.

    The noise is that with which encoder and decoder were fitted. It is there in validation too: the density of noisy
    latents is bounded, and what is drawn from it is what the decoder knows.
    """

    def __init__(self, likelihood: Objective, latent_noise: float, *, of_condition: bool = False) -> None:
        self.likelihood, self.latent_noise, self.of_condition = likelihood, latent_noise, of_condition

    @property
    def module(self) -> nn.Module:
        """The flow."""
        return self.likelihood.module

    def __call__(self, batch: Batch) -> Terms:
        """The terms of the likelihood."""
        return self.likelihood(self._noisy(batch))

    def start(self, batch: Batch) -> None:
        """As the likelihood starts."""
        self.likelihood.start(self._noisy(batch))

    def _noisy(self, batch: Batch) -> Batch:
        condition = batch.condition
        if self.of_condition and condition is not None:
            condition = self._moved(condition)
        return Batch(self._moved(batch.x), condition, batch.rows)

    def _moved(self, latent: Tensor) -> Tensor:
        return latent + self.latent_noise * torch.randn_like(latent)
