"""What every model answers: pure functions of tensors, with all randomness as an input."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from flows.config import ConditionConfig, CouplingConfig, Data, JointConfig, LatentConfig

Operation = Literal["decode", "embed", "encode", "score", "infer"]
Tensors = tuple[Tensor, ...]


@dataclass(frozen=True)
class Part:
    """A named input that carries randomness, independent per element: a latent part or a noise part."""

    name: str
    shape: tuple[int, ...]
    distribution: Literal["normal", "uniform"] = "normal"


class Model(nn.Module, ABC):
    """A conditional density p(x | condition), in data units.

    Raw conditions at the boundary are int64 (rows,) for labels, (rows, M) for vectors, (rows, C, H, W) for images in
    data units, and None. Integer data are float tensors with values 0..levels-1, and their density is the mass of
    the integers. `latent` parts are standard normal; `noise` parts are what `log_weight` needs to be an unbiased
    estimate (of the density, over draws of the noise); a model without noise is exact. `embedding_shape` is that of a
    row of `embed(x)` in families that have an encoder, else None.
    """

    config: JointConfig | CouplingConfig | LatentConfig
    latent: tuple[Part, ...]
    noise: tuple[Part, ...] = ()
    space: Literal["data", "latent"] = "data"
    embedding_shape: tuple[int, ...] | None = None

    @property
    def data(self) -> Data:
        """Shape and kind of one row of x."""
        return self.config.data

    @property
    def condition(self) -> ConditionConfig:
        """Kind and size of one row of the condition."""
        return self.config.condition

    @property
    def operations(self) -> tuple[Operation, ...]:
        """Which of these functions the model has."""
        return ("decode", "encode", "score")

    def embed(self, x: Tensor) -> Tensor:
        """u = encoder(x), all that `encode`, `score` and `infer` know of x; without an encoder x itself."""
        return x

    @property
    def of_embedding(self) -> Model:
        """The model of u: score(x, noise, condition) = of_embedding.score(embed(x), noise, condition)."""
        return self

    def completed(self, latent: Tensors) -> Tensors:
        """The latent of x where `latent` is that of embed(x): with the parts that nothing reads off x."""
        return latent

    @abstractmethod
    def decode(self, latent: Tensors, condition: Tensor | None) -> Tensor:
        """x = f^-1(latent; condition): (rows, *data shape). Integer data are whole numbers in 0..levels-1."""

    @abstractmethod
    def encode(self, x: Tensor, noise: Tensors, condition: Tensor | None) -> Tensors:
        """latent = f(x, noise; condition), the inverse of `decode`: standard normal if the model is right."""

    @abstractmethod
    def log_weight(self, x: Tensor, noise: Tensors, condition: Tensor | None) -> Tensor:
        """log p(x, noise | condition) - log q(noise | x): (rows,), in data units, natural logarithm.

        Its log-mean-exp over draws of the noise estimates log p(x | condition) (Xiao 2019, eq. 11); one draw is a
        lower bound in expectation; without noise parts it is the log-density itself.
        """

    @abstractmethod
    def score(self, x: Tensor, noise: Tensors, condition: Tensor | None) -> Tensor:
        """`log_weight` for the given condition, (rows,); of label models for all classes, (rows, classes)."""

    def infer(self, x: Tensor, noise: Tensors) -> tuple[Tensor, Tensor]:
        """The condition read off the forward pass, and its log-weight: (rows, M), (rows,).

        Raises NotImplementedError for a family whose flow has no condition among its outputs.
        """
        raise NotImplementedError(f"infer: the {self.config.family} family does not read the condition off the flow")

    @abstractmethod
    def fit_preprocessing(self, x: Tensor, condition: Tensor | None) -> None:
        """Set the fixed scalings of x and of the condition from training data (rows, *data shape)."""

    @abstractmethod
    def initialize(self, x: Tensor, noise: Tensors, condition: Tensor | None) -> None:
        """Set the data-dependent initial values of the bijections (ActNorm) from one batch."""
