"""Latent flow (GLF, Xiao 2019b): an auto-encoder, and a joint or coupling flow on its latents."""

from __future__ import annotations

import torch
from torch import Tensor

from flows.config import LatentConfig
from flows.models.autoencoder import AutoEncoder
from flows.models.base import Model, Operation, Part, Tensors
from flows.models.coupling import ConditionalCouplingFlow
from flows.models.joint import JointFlow


class LatentFlow(Model):
    """u = encoder(x), log p(u | C) by the inner flow; decode: x = decoder(flow^-1(z; C), e).

    With `autoencoder.detail` the part `detail`, e, draws what u leaves open of x. Nothing reads it off x: `encode`
    answers its mode, zero.

    The likelihood is of the latent u (`space` is "latent"), not of x. Images are scaled to [0, 1]: integers are divided
    by levels - 1, real images must lie there already. Training composes `scale`, `embed`, `latent_log_weight` and
    `autoencoder.decode` into its objective, with noise on u or not.
    """

    config: LatentConfig
    space = "latent"

    def __init__(
        self, config: LatentConfig, autoencoder: AutoEncoder, flow: JointFlow | ConditionalCouplingFlow
    ) -> None:
        super().__init__()
        self.config = config
        self.autoencoder = autoencoder
        self.flow = flow
        detail = (Part("detail", (autoencoder.detail,)),) if autoencoder.detail else ()
        self.latent, self.noise = flow.latent + detail, flow.noise
        self.embedding_shape = (config.autoencoder.latent,)

    @property
    def operations(self) -> tuple[Operation, ...]:
        """Those of the inner flow, and `embed`."""
        return ("decode", "embed", *self.flow.operations[1:])

    def scale(self, x: Tensor) -> Tensor:
        """Data units to [0, 1]."""
        levels = self.config.data.levels
        return x if levels is None else x * (1 / (levels - 1))

    def embed(self, x: Tensor) -> Tensor:
        """u = encoder(x): (rows, *data shape) in data units to (rows, latent); with gradients to the encoder."""
        return self.autoencoder.encode(self.scale(x))

    @property
    def of_embedding(self) -> Model:
        """The inner flow."""
        return self.flow

    def reconstruct(self, x: Tensor) -> Tensor:
        """decoder(encoder(x)) in data units; integers are rounded."""
        return self._unscaled(self.autoencoder.decode(self.embed(x)))

    def latent_log_weight(self, u: Tensor, noise: Tensors, condition: Tensor | None) -> Tensor:
        """The inner flow's log-weight of u; with gradient "stop" no gradient goes back to u."""
        return self.flow.log_weight(u.detach() if self.config.gradient == "stop" else u, noise, condition)

    def decode(self, latent: Tensors, condition: Tensor | None) -> Tensor:
        """x = decoder(flow^-1(z; C), e), rounded for integer data."""
        inner, detail = latent[: len(self.flow.latent)], latent[len(self.flow.latent) :]
        return self._unscaled(self.autoencoder.decode(self.flow.decode(inner, condition), *detail))

    def encode(self, x: Tensor, noise: Tensors, condition: Tensor | None) -> Tensors:
        """The flow's latent of u = encoder(x), and e = 0."""
        return self.completed(self.flow.encode(self.embed(x), noise, condition))

    def completed(self, latent: Tensors) -> Tensors:
        """The flow's latent, and e = 0."""
        detail = self.autoencoder.detail
        return (*latent, latent[0].new_zeros(latent[0].shape[0], detail)) if detail else latent

    def log_weight(self, x: Tensor, noise: Tensors, condition: Tensor | None) -> Tensor:
        """The inner flow's log-weight of u = encoder(x): (rows,), in units of the latent."""
        return self.latent_log_weight(self.embed(x), noise, condition)

    def score(self, x: Tensor, noise: Tensors, condition: Tensor | None) -> Tensor:
        """The inner flow's score of u = encoder(x)."""
        return self.flow.score(self.embed(x), noise, condition)

    def infer(self, x: Tensor, noise: Tensors) -> tuple[Tensor, Tensor]:
        """The inner flow's reading of the condition off u = encoder(x)."""
        return self.flow.infer(self.embed(x), noise)

    @torch.no_grad()
    def fit_preprocessing(self, x: Tensor, condition: Tensor | None) -> None:
        """Fit the inner flow's scalings to the latents of x as they are now."""
        self.flow.fit_preprocessing(self.embed(x), condition)

    @torch.no_grad()
    def initialize(self, x: Tensor, noise: Tensors, condition: Tensor | None) -> None:
        """Initialise the inner flow's bijections on the latents of one batch as they are now."""
        self.flow.initialize(self.embed(x), noise, condition)

    def _unscaled(self, image: Tensor) -> Tensor:
        levels = self.config.data.levels
        return image if levels is None else (image * (levels - 1)).round().clamp(0, levels - 1)
