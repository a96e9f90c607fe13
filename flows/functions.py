"""The pure functions of a model as modules with positional tensor inputs, ready for export.

Inputs and outputs come in one fixed order: decode (latent parts, condition) -> x; encode (x, noise parts, condition)
-> latent parts; score (x, noise parts, condition unless it is a label) -> log_weight; infer (x, noise parts) ->
(estimate, log_weight). The condition is left out of unconditional models. There are no random numbers inside.
"""

from __future__ import annotations

from torch import Tensor, nn

from flows.models.base import Model, Operation, Part


class Function(nn.Module):
    """One of the four operations of `model`; `inputs` and `outputs` name its tensors in order."""

    operation: Operation

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model
        self._latents, self._noises = len(model.latent), len(model.noise)
        self._conditional = model.condition.kind != "none"

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the positional inputs."""
        return ("x", *_names(self.model.noise), *self._condition_name())

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs."""
        return ("log_weight",)

    def _condition_name(self) -> tuple[str, ...]:
        return ("condition",) if self._conditional else ()

    def _split(self, tensors: tuple[Tensor, ...], parts: int) -> tuple[tuple[Tensor, ...], Tensor | None]:
        return tensors[:parts], tensors[parts] if len(tensors) > parts else None


class Decode(Function):
    """(latent parts, condition) -> x."""

    operation: Operation = "decode"

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the positional inputs."""
        return _names(self.model.latent) + self._condition_name()

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs."""
        return ("x",)

    def forward(self, *tensors: Tensor) -> Tensor:
        """See `Model.decode`."""
        return self.model.decode(*self._split(tensors, self._latents))


class Encode(Function):
    """(x, noise parts, condition) -> latent parts."""

    operation: Operation = "encode"

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs."""
        return _names(self.model.latent)

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """See `Model.encode`."""
        return self.model.encode(tensors[0], *self._split(tensors[1:], self._noises))


class Score(Function):
    """(x, noise parts, condition unless a label) -> log_weight: (rows, classes) for labels, else (rows,)."""

    operation: Operation = "score"

    def _condition_name(self) -> tuple[str, ...]:
        return () if self.model.condition.kind == "label" else super()._condition_name()

    def forward(self, *tensors: Tensor) -> Tensor:
        """See `Model.score`."""
        return self.model.score(tensors[0], *self._split(tensors[1:], self._noises))


class Infer(Function):
    """(x, noise parts) -> (estimate, log_weight)."""

    operation: Operation = "infer"

    def _condition_name(self) -> tuple[str, ...]:
        return ()

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs."""
        return ("estimate", "log_weight")

    def forward(self, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        """See `Model.infer`."""
        return self.model.infer(tensors[0], tensors[1:])


def functions(model: Model) -> dict[Operation, Function]:
    """The functions that `model` has, by name."""
    every: tuple[type[Function], ...] = (Decode, Encode, Score, Infer)
    return {kind.operation: kind(model) for kind in every if kind.operation in model.operations}


def _names(parts: tuple[Part, ...]) -> tuple[str, ...]:
    return tuple(part.name for part in parts)
