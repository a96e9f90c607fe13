"""The pure functions of a model as modules with positional tensor inputs, ready for export.

Inputs and outputs come in one fixed order: decode (latent parts, condition) -> x; encode (x, noise parts, condition)
-> latent parts; score (x, noise parts, condition unless it is a label) -> log_weight; infer (x, noise parts) ->
(estimate, log_weight). The condition is left out of unconditional models. There are no random numbers inside.

A model with an encoder has embed (x) -> embedding beside these, and encode, score and infer take the embedding in the
place of x: so the encoder runs once for each x, however many noise draws or conditions it meets.
"""

from __future__ import annotations

from torch import Tensor, nn

from flows.models.base import Model, Operation, Part


class Function(nn.Module):
    """One of the operations of `model`; `inputs` and `outputs` name its tensors in order.

    `embedded`: it takes the embedding in the place of x.
    """

    operation: Operation

    def __init__(self, model: Model, embedded: bool = False) -> None:
        super().__init__()
        self.model = model
        self.embedded = embedded
        self._latents, self._noises = len(model.latent), len(model.noise)
        self._conditional = model.condition.kind != "none"

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the positional inputs."""
        return ("embedding" if self.embedded else "x", *_names(self.model.noise), *self._condition_name())

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs."""
        return ("log_weight",)

    @property
    def _density(self) -> Model:
        return self.model.of_embedding if self.embedded else self.model

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


class Embed(Function):
    """x -> embedding."""

    operation: Operation = "embed"

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the positional inputs."""
        return ("x",)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs."""
        return ("embedding",)

    def forward(self, x: Tensor) -> Tensor:
        """See `Model.embed`."""
        return self.model.embed(x)


class Encode(Function):
    """(x, noise parts, condition) -> latent parts."""

    operation: Operation = "encode"

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs."""
        return _names(self.model.latent)

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """See `Model.encode`."""
        latent = self._density.encode(tensors[0], *self._split(tensors[1:], self._noises))
        return self.model.completed(latent) if self.embedded else latent


class Score(Function):
    """(x, noise parts, condition unless a label) -> log_weight: (rows, classes) for labels, else (rows,)."""

    operation: Operation = "score"

    def _condition_name(self) -> tuple[str, ...]:
        return () if self.model.condition.kind == "label" else super()._condition_name()

    def forward(self, *tensors: Tensor) -> Tensor:
        """See `Model.score`."""
        return self._density.score(tensors[0], *self._split(tensors[1:], self._noises))


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
        return self._density.infer(tensors[0], tensors[1:])


def functions(model: Model, *, embedded: bool = True) -> dict[Operation, Function]:
    """The functions that `model` has, by name.

    `embedded=False`: all of them take x itself, with the encoder inside each, and there is no embed.
    """
    every: tuple[type[Function], ...] = (Decode, Embed, Encode, Score, Infer)
    made: dict[Operation, Function] = {}
    apart = embedded and model.embedding_shape is not None
    for kind in every:
        if kind.operation in model.operations and (apart or kind is not Embed):
            made[kind.operation] = kind(model, apart and kind in (Encode, Score, Infer))
    return made


def _names(parts: tuple[Part, ...]) -> tuple[str, ...]:
    return tuple(part.name for part in parts)
