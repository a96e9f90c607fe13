"""What a version speaks: the shapes and kinds of x, condition, latent and noise.

A signature is the contract between a fitted flow and everybody who asks it something: it is written once at
export, stored in the manifest, and read by the engines, the service and the evaluation. It knows no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

Operation = Literal["decode", "embed", "encode", "score", "infer"]


class Frozen(BaseModel):
    """An immutable record that refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ArraySpec(Frozen):
    """One array without its row axis.

    `uint8` arrays hold integers `0..levels-1`; graphs receive them as float32 with the same values.
    """

    shape: tuple[Annotated[int, Field(ge=1)], ...]
    dtype: Literal["float32", "uint8"] = "float32"
    levels: Annotated[int, Field(ge=2, le=256)] = 256
    names: tuple[str, ...] | None = None

    @property
    def size(self) -> int:
        """Number of elements of one row (D)."""
        return prod(self.shape)

    @property
    def is_image(self) -> bool:
        """Whether one row is C x H x W."""
        return len(self.shape) == 3

    @property
    def is_integer(self) -> bool:
        """Whether rows are integers, so that densities are masses and bits per dimension make sense."""
        return self.dtype == "uint8"

    @model_validator(mode="after")
    def _names_fit(self) -> ArraySpec:
        if self.names is not None and len(self.names) != self.size:
            raise ValueError(f"names: expected {self.size} names for shape {self.shape}, got {len(self.names)}")
        return self


class NoCondition(Frozen):
    """An unconditional flow."""

    kind: Literal["none"] = "none"


class LabelCondition(Frozen):
    """One of several named classes; the index is the place in `classes`."""

    kind: Literal["label"] = "label"
    classes: Annotated[tuple[str, ...], Field(min_length=2)]

    @model_validator(mode="after")
    def _unique(self) -> LabelCondition:
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("classes: names must differ from each other")
        return self


class VectorCondition(Frozen):
    """M real numbers.

    `relaxation` is the standard deviation of the model's own noise on each of them, in data units (the joint flow's
    epsilon times the scale of the standardisation); empty where the family has none. `least` and `greatest` of each of
    them in the rows that the version was fitted to; empty where they are not known.
    """

    kind: Literal["vector"] = "vector"
    array: ArraySpec
    relaxation: tuple[Annotated[float, Field(gt=0)], ...] = ()
    least: tuple[FiniteFloat, ...] = ()
    greatest: tuple[FiniteFloat, ...] = ()

    @property
    def size(self) -> int:
        """M."""
        return self.array.size

    @model_validator(mode="after")
    def _relaxation_fits(self) -> VectorCondition:
        if self.relaxation and len(self.relaxation) != self.size:
            raise ValueError(f"relaxation: expected {self.size} standard deviations, got {len(self.relaxation)}")
        return self

    @model_validator(mode="after")
    def _range_fits(self) -> VectorCondition:
        if len(self.least) != len(self.greatest) or len(self.least) not in (0, self.size):
            raise ValueError(f"least, greatest: expected {self.size} numbers each, or none")
        if any(low > high for low, high in zip(self.least, self.greatest, strict=True)):
            raise ValueError("least, greatest: expected no least above its greatest")
        return self

    def within(self, least: Sequence[float], greatest: Sequence[float]) -> VectorCondition:
        """The same, of a version that was fitted to conditions in this range. Raises ValidationError."""
        return VectorCondition(
            array=self.array, relaxation=self.relaxation, least=tuple(least), greatest=tuple(greatest)
        )


class ImageCondition(Frozen):
    """An image C x H x W; its height and width need not match those of x."""

    kind: Literal["image"] = "image"
    array: ArraySpec


ConditionSpec = Annotated[NoCondition | LabelCondition | VectorCondition | ImageCondition, Field(discriminator="kind")]


class Part(Frozen):
    """A named input that carries randomness: a latent part or a noise part, independent per element."""

    name: Annotated[str, Field(pattern=r"[a-z][a-z0-9_]{0,31}")]
    shape: tuple[Annotated[int, Field(ge=1)], ...]
    distribution: Literal["normal", "uniform"] = "normal"

    @property
    def size(self) -> int:
        """Number of elements of one row."""
        return prod(self.shape)


class Signature(Frozen):
    """Everything needed to build inputs for a version and to read its outputs.

    `latent` parts are standard normal at the boundary (`z`, and `v` for the relaxed condition's noise); `noise`
    parts feed `score`, `encode` and `infer`. No noise means an exact likelihood. `space` tells whether the
    likelihood is of the data or of an auto-encoder's latent. With `embedding`, the shape of what an encoder makes of
    one x, the operation `embed` makes it, and `score`, `encode` and `infer` take it in the place of x: the encoder runs
    once for each x, not once for each of its noise draws. Without, they take x itself.
    """

    data: ArraySpec
    condition: ConditionSpec = NoCondition()
    latent: Annotated[tuple[Part, ...], Field(min_length=1)]
    noise: tuple[Part, ...] = ()
    space: Literal["data", "latent"] = "data"
    embedding: tuple[Annotated[int, Field(ge=1)], ...] | None = None
    operations: tuple[Operation, ...]

    @model_validator(mode="after")
    def _embedding_is_made(self) -> Signature:
        if (self.embedding is None) == ("embed" in self.operations):
            raise ValueError("embedding: expected its shape where there is an operation `embed`, and only there")
        return self

    @property
    def exact(self) -> bool:
        """Whether the likelihood needs no noise draws."""
        return not self.noise

    def inputs(self, operation: Operation) -> tuple[str, ...]:
        """Names of the graph inputs of `operation`, in order.

        >>> z = Part(name="z", shape=(2,))
        >>> label = LabelCondition(classes=("a", "b"))
        >>> s = Signature(data=ArraySpec(shape=(2,)), condition=label, latent=(z,), operations=("decode", "score"))
        >>> s.inputs("decode"), s.inputs("score")
        (('z', 'condition'), ('x',))
        """
        condition = () if self.condition.kind == "none" else ("condition",)
        given = ("x" if self.embedding is None else "embedding", *_names(self.noise))
        match operation:
            case "decode":
                return _names(self.latent) + condition
            case "embed":
                return ("x",)
            case "encode":
                return given + condition
            case "score":
                return given if self.condition.kind == "label" else given + condition
            case "infer":
                return given

    def outputs(self, operation: Operation) -> tuple[str, ...]:
        """Names of the graph outputs of `operation`, in order."""
        match operation:
            case "decode":
                return ("x",)
            case "embed":
                return ("embedding",)
            case "encode":
                return _names(self.latent)
            case "score":
                return ("log_weight",)
            case "infer":
                return ("estimate", "log_weight")


def _names(parts: Sequence[Part]) -> tuple[str, ...]:
    return tuple(part.name for part in parts)
