"""Latent flow (GLF, Xiao 2019b): an auto-encoder, a joint or coupling flow on its latents, and details if need be."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from flows.config import LatentConfig
from flows.models.autoencoder import AutoEncoder
from flows.models.base import Model, Operation, Tensors
from flows.models.coupling import ConditionalCouplingFlow
from flows.models.detail import Detail, DetailedFlow
from flows.models.joint import JointFlow

LIMIT = 1_000_000


class LatentFlow(Model):
    """u = encoder(x), log p(u | C) by the inner flow; decode: x = decoder(flow^-1(z; C)).

    With a `detail` x also has a code v of what u leaves open, with log p(v | u) of its own, and all that is said here
    of u is true of [u, v]; the decoder may be asked for an image of u alone, then v is taken as 0, its mean. Raises
    ValueError when auto-encoder and code have more than a million parameters.

    The likelihood is of the latent u (`space` is "latent"), not of x. Images are scaled to [0, 1]: integers are divided
    by levels - 1, real images must lie there already. Training composes `scale`, `embed`, `latent_log_weight` and
    `autoencoder.decode` into its objective, with noise on u or not.
    """

    config: LatentConfig
    space = "latent"

    def __init__(
        self,
        config: LatentConfig,
        autoencoder: AutoEncoder,
        flow: JointFlow | ConditionalCouplingFlow,
        detail: Detail | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.autoencoder = autoencoder
        self.flow = flow
        self.detail = detail
        count = sum(parameter.numel() for module in self._coders() for parameter in module.parameters())
        if count > LIMIT:
            raise ValueError(f"autoencoder: expected at most {LIMIT} parameters, this configuration has {count}")
        self.latent, self.noise = self.of_embedding.latent, flow.noise
        self.embedding_shape = self.of_embedding.data.shape

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
        scaled = self.scale(x)
        u = self.autoencoder.encode(scaled)
        return u if self.detail is None else torch.cat((u, self.detail.code.encode(scaled)), 1)

    def decode_embedding(self, embedding: Tensor) -> Tensor:
        """Images in (0, 1) of an embedding."""
        if self.detail is None:
            return self.autoencoder.decode(embedding)
        u, v = embedding.split((self.config.autoencoder.latent, self.detail.size), 1)
        return self.autoencoder.decode(u, self.detail.code.decode(v))

    @property
    def of_embedding(self) -> Model:
        """The inner flow, with that of the details."""
        return self.flow if self.detail is None else DetailedFlow(self.flow, self.detail)

    def reconstruct(self, x: Tensor) -> Tensor:
        """decoder(encoder(x)) in data units; integers are rounded."""
        return self._unscaled(self.decode_embedding(self.embed(x)))

    def latent_log_weight(self, u: Tensor, noise: Tensors, condition: Tensor | None) -> Tensor:
        """The inner flow's log-weight of u; with gradient "stop" no gradient goes back to u."""
        return self.flow.log_weight(u.detach() if self.config.gradient == "stop" else u, noise, condition)

    def decode(self, latent: Tensors, condition: Tensor | None) -> Tensor:
        """x = decoder(flow^-1(latent; C)), rounded for integer data."""
        return self._unscaled(self.decode_embedding(self.of_embedding.decode(latent, condition)))

    def encode(self, x: Tensor, noise: Tensors, condition: Tensor | None) -> Tensors:
        """The flow's latent of u = encoder(x)."""
        return self.of_embedding.encode(self.embed(x), noise, condition)

    def log_weight(self, x: Tensor, noise: Tensors, condition: Tensor | None) -> Tensor:
        """The inner flow's log-weight of u = encoder(x): (rows,), in units of the latent."""
        return self.of_embedding.log_weight(self.embed(x), noise, condition)

    def score(self, x: Tensor, noise: Tensors, condition: Tensor | None) -> Tensor:
        """The inner flow's score of u = encoder(x)."""
        return self.of_embedding.score(self.embed(x), noise, condition)

    def infer(self, x: Tensor, noise: Tensors) -> tuple[Tensor, Tensor]:
        """The inner flow's reading of the condition off u = encoder(x)."""
        return self.of_embedding.infer(self.embed(x), noise)

    @torch.no_grad()
    def fit_preprocessing(self, x: Tensor, condition: Tensor | None) -> None:
        """Fit the inner flow's scalings to the latents of x as they are now."""
        self.of_embedding.fit_preprocessing(self.embed(x), condition)

    @torch.no_grad()
    def initialize(self, x: Tensor, noise: Tensors, condition: Tensor | None) -> None:
        """Initialise the inner flow's bijections on the latents of one batch as they are now."""
        self.of_embedding.initialize(self.embed(x), noise, condition)

    def _coders(self) -> list[nn.Module]:
        return [self.autoencoder] if self.detail is None else [self.autoencoder, self.detail.code]

    def _unscaled(self, image: Tensor) -> Tensor:
        levels = self.config.data.levels
        return image if levels is None else (image * (levels - 1)).round().clamp(0, levels - 1)
