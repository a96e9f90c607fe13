"""A flow alone, on latents that keep still."""

from __future__ import annotations

import torch
from torch import nn

from training.objectives.base import Objective, Terms
from training.rows import Batch


class NoisyLatents:
    """The likelihood of u + nu e, e ~ N(0, I), for the u of the rows.

    The noise is that with which encoder and decoder were fitted. It is there in validation too: the density of noisy
    latents is bounded, and what is drawn from it is what the decoder knows.
    """

    def __init__(self, likelihood: Objective, latent_noise: float) -> None:
        self.likelihood, self.latent_noise = likelihood, latent_noise

    @property
    def module(self) -> nn.Module:
        """The flow."""
        return self.likelihood.module

    def __call__(self, batch: Batch) -> Terms:
        """The terms of the likelihood."""
        return self.likelihood(self._noisy(batch))

    def start(self, batch: Batch) -> None:
        """As the likelihood starts, which leaves alone what is initialised."""
        self.likelihood.start(self._noisy(batch))

    def _noisy(self, batch: Batch) -> Batch:
        return Batch(batch.x + self.latent_noise * torch.randn_like(batch.x), batch.condition, batch.rows)
