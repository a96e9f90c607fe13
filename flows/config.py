"""Frozen typed configurations of the three families: what a model is, before there are any numbers in it.

A configuration refuses unknown fields, fills real defaults in (so that what is stored stays true when a default
changes), and is checked against itself here, before anything is built.
"""

from __future__ import annotations

from math import prod
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

Positive = Annotated[int, Field(ge=1)]
WIDEST, DEEPEST = 16_384, 256
Width = Annotated[int, Field(ge=1, le=WIDEST)]
Depth = Annotated[int, Field(ge=1, le=DEEPEST)]
Shape = Annotated[tuple[Positive, ...], Field(min_length=1, max_length=3)]
Levels = Annotated[int, Field(ge=2, le=256)]
Activation = Literal["relu", "silu", "gelu", "tanh", "leaky_relu", "elu"]


class Frozen(BaseModel):
    """An immutable record that refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)


class Data(Frozen):
    """One row of x: its shape, and for integer data how many `levels` there are (values 0..levels-1)."""

    shape: Shape
    levels: Levels | None = None

    @property
    def size(self) -> int:
        """D, the number of elements of one row."""
        return prod(self.shape)


class NoCondition(Frozen):
    """An unconditional flow."""

    kind: Literal["none"] = "none"
    size: Literal[0] = 0


class LabelCondition(Frozen):
    """One of `classes` labels, an int64 index per row; embedded one-hot."""

    kind: Literal["label"] = "label"
    classes: Annotated[int, Field(ge=2)]

    @property
    def size(self) -> int:
        """M, the width of the one-hot vector."""
        return self.classes


class VectorCondition(Frozen):
    """M = `size` real numbers per row; standardised inside the model."""

    kind: Literal["vector"] = "vector"
    size: Positive


class ImageCondition(Frozen):
    """An image C x H x W per row, in data units; standardised per channel inside the model."""

    kind: Literal["image"] = "image"
    shape: tuple[Positive, Positive, Positive]
    levels: Levels | None = None

    @property
    def size(self) -> int:
        """C * H * W."""
        return prod(self.shape)


ConditionConfig = Annotated[
    NoCondition | LabelCondition | VectorCondition | ImageCondition, Field(discriminator="kind")
]


class Dequantize(Frozen):
    """Integer to real: x' = (x + u) / levels with u ~ U(0, 1), a noise part of the model. Must come first."""

    kind: Literal["dequantize"] = "dequantize"


class Logit(Frozen):
    """From [0, 1] to the real line: u = alpha + (1 - 2 alpha) x, then log(u / (1 - u)) (Dinh 2017)."""

    kind: Literal["logit"] = "logit"
    alpha: Annotated[float, Field(ge=0, lt=0.5)] = 0.01


class Softplus(Frozen):
    """From positive numbers to the real line by the inverse of softplus."""

    kind: Literal["softplus"] = "softplus"


class Support(Frozen):
    """From an interval per dimension to the real line; None leaves a side open."""

    kind: Literal["support"] = "support"
    lower: tuple[float | None, ...]
    upper: tuple[float | None, ...]

    @model_validator(mode="after")
    def _ordered(self) -> Support:
        if len(self.lower) != len(self.upper):
            raise ValueError(f"upper: expected {len(self.lower)} bounds as in lower, got {len(self.upper)}")
        for index, (low, high) in enumerate(zip(self.lower, self.upper, strict=True)):
            if low is not None and high is not None and low >= high:
                raise ValueError(f"upper: expected more than lower ({low}) in dimension {index}, got {high}")
        return self


class Standardize(Frozen):
    """To mean 0 and standard deviation 1 per element, fitted to the training data."""

    kind: Literal["standardize"] = "standardize"


Step = Annotated[Dequantize | Logit | Softplus | Support | Standardize, Field(discriminator="kind")]


class Affine(Frozen):
    """Affine coupling with log-scales softly clamped to (-clamp, clamp)."""

    kind: Literal["affine"] = "affine"
    clamp: Annotated[float, Field(gt=0, le=10)] = 2.0


class Additive(Frozen):
    """Additive coupling: volume preserving (Dinh 2015)."""

    kind: Literal["additive"] = "additive"


class Spline(Frozen):
    """Monotone rational-quadratic spline coupling inside [-bound, bound], the identity outside (Durkan 2019)."""

    kind: Literal["spline"] = "spline"
    bins: Annotated[int, Field(ge=2, le=64)] = 8
    bound: Annotated[float, Field(gt=0)] = 5.0


Coupling = Annotated[Affine | Additive | Spline, Field(discriminator="kind")]


class Conditioner(Frozen):
    """The network inside each coupling: `depth` hidden layers (mlp) or blocks (residual) of `width`."""

    kind: Literal["mlp", "residual"] = "mlp"
    width: Width = 128
    depth: Depth = 2
    activation: Activation = "relu"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0


class ImageEncoder(Frozen):
    """The convolutional encoder of an image condition: one stride-2 level per entry of `channels`."""

    channels: Annotated[tuple[Width, ...], Field(min_length=1)] = (16, 32)
    features: Width = 32


class Flow(Frozen):
    """What the joint and the coupling family share: data, condition, preprocessing and the stack of couplings.

    `preprocessing` defaults to standardize for real data, and dequantize, logit, standardize for integers. `blocks`
    counts couplings, or rounds of three couplings where `mixing` is `partitioned` (see `flows.stack.partitioned`).
    """

    data: Data
    condition: ConditionConfig = NoCondition()
    preprocessing: Annotated[tuple[Step, ...] | None, Field(validate_default=True)] = None
    blocks: Depth = 6
    coupling: Coupling = Affine()
    conditioner: Conditioner = Conditioner()
    actnorm: bool = True
    mixing: Literal["permutation", "lu", "none", "partitioned"] = "permutation"
    seed: Annotated[int, Field(ge=0, lt=2**53)] = 0

    @field_validator("preprocessing")
    @classmethod
    def _steps_fit(cls, steps: tuple[Step, ...] | None, info: ValidationInfo) -> tuple[Step, ...]:
        data = info.data.get("data")
        if data is None:  # its own error is reported
            return steps or ()
        if steps is None:
            return (Standardize(),) if data.levels is None else (Dequantize(), Logit(), Standardize())
        places = [index for index, step in enumerate(steps) if step.kind == "dequantize"]
        if data.levels is None and places:
            raise ValueError("dequantize is for integer data: set data.levels, or leave it out")
        if data.levels is not None and places != [0]:
            raise ValueError("integer data (data.levels is set) needs dequantize first, and once")
        for step in steps:
            if isinstance(step, Support) and len(step.lower) != data.size:
                raise ValueError(f"support.lower: expected {data.size} bounds, one per element, got {len(step.lower)}")
        return steps


class JointConfig(Flow):
    """Joint flow with relaxed condition (Xiao 2019): f maps [x, padding] to [z, c].

    `padding` P defaults to the condition's size M, so that z has as many dimensions as x; 0 means no padding, and
    K = D - M. `epsilon` is the standard deviation of c around the condition, `padding_sigma` that of the padding.
    """

    family: Literal["joint"] = "joint"
    epsilon: Annotated[float, Field(gt=0)] = 0.1
    padding: Annotated[int | None, Field(ge=0, le=WIDEST, validate_default=True)] = None
    padding_sigma: Annotated[float, Field(gt=0)] = 0.05

    @field_validator("padding")
    @classmethod
    def _padding_fits(cls, padding: int | None, info: ValidationInfo) -> int | None:
        data, condition = info.data.get("data"), info.data.get("condition")
        if data is None or condition is None or isinstance(condition, ImageCondition):
            return padding
        if padding is None:
            return condition.size
        if data.size + padding - condition.size < 1:
            raise ValueError(
                f"expected at least {condition.size - data.size + 1}: x has {data.size} dimensions and the condition "
                f"{condition.size}, so nothing would be left for z"
            )
        return padding

    @model_validator(mode="after")
    def _padding_to_partition(self) -> JointConfig:
        if self.mixing == "partitioned" and not self.padding:
            raise ValueError("mixing: partitioned transforms the padding given x, so it needs padding of at least 1")
        return self

    @model_validator(mode="after")
    def _no_image(self) -> JointConfig:
        if isinstance(self.condition, ImageCondition):
            raise ValueError("condition: the joint family takes none, label or vector; use family coupling for images")
        return self

    @property
    def latent_size(self) -> int:
        """K = D + P - M."""
        return self.data.size + (self.padding or 0) - self.condition.size


class CouplingConfig(Flow):
    """Conditional-coupling flow (Ardizzone 2019, Winkler 2019): the condition enters every conditioner.

    `prior` "conditional" replaces N(0, I) by N(mu(c), sigma(c)).
    """

    family: Literal["coupling"] = "coupling"
    prior: Literal["standard", "conditional"] = "standard"
    image_encoder: ImageEncoder = ImageEncoder()

    @model_validator(mode="after")
    def _nothing_to_partition(self) -> CouplingConfig:
        if self.mixing == "partitioned":
            raise ValueError("mixing: partitioned is for the joint family, whose padding it keeps apart")
        return self

    @model_validator(mode="after")
    def _prior_has_condition(self) -> CouplingConfig:
        if self.prior == "conditional" and self.condition.kind == "none":
            raise ValueError("prior: a conditional prior needs a condition")
        return self


class AutoEncoderConfig(Frozen):
    """An auto-encoder of at most 1 M parameters, between images in [0, 1] and `latent` numbers.

    Encoder: `stem` (the pixels, or a fixed view of oriented gradients beside them at a quarter of the size), one
    convolution per entry of `channels` with the kernel and stride of the same place followed by as many residual
    blocks as `residual` says, dense layers of `dense`, then the latent. Decoder: dense layers of `decoder_dense`, then
    either a dense layer to the pixels (`decoder_channels` empty), or one to `seed_channels` maps, a convolution to
    `decoder_channels[0]`, `decoder_residual` residual blocks and one stride-2 transposed convolution per entry of
    `decoder_channels`, the last of which makes the image. `predict_gradients` gives the decoder a second head that
    predicts the oriented gradients, for training only. `detail` numbers go into the decoder beside the latent: noise
    for what the latent leaves open.
    """

    latent: Width = 20
    detail: Annotated[int, Field(ge=0, le=WIDEST)] = 0
    stem: Literal["pixels", "gradients"] = "pixels"
    channels: tuple[Width, ...] = (32, 64, 128)
    kernels: tuple[Literal[3, 4], ...] = (4, 3, 3)
    strides: Annotated[tuple[Literal[1, 2], ...] | None, Field(validate_default=True)] = None
    residual: tuple[Annotated[int, Field(ge=0, le=DEEPEST)], ...] = (0, 1, 0)
    dense: tuple[Width, ...] = ()
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    decoder_dense: tuple[Width, ...] = ()
    seed_channels: Width = 32
    decoder_channels: tuple[Width, ...] = (64, 32)
    decoder_residual: Annotated[int, Field(ge=0, le=DEEPEST)] = 0
    predict_gradients: bool = False

    @field_validator("strides")
    @classmethod
    def _halve_by_default(cls, strides: tuple[int, ...] | None, info: ValidationInfo) -> tuple[int, ...]:
        return (2,) * len(info.data.get("channels", ())) if strides is None else strides

    @model_validator(mode="after")
    def _levels_fit(self) -> AutoEncoderConfig:
        for name in ("kernels", "strides", "residual"):
            if len(getattr(self, name)) != len(self.channels):
                raise ValueError(f"{name}: expected {len(self.channels)} entries, one per entry of channels")
        return self


InnerFlow = Annotated[JointConfig | CouplingConfig, Field(discriminator="family")]


class LatentConfig(Frozen):
    """Latent flow (GLF, Xiao 2019b): an auto-encoder and a flow on its latents.

    `gradient` "stop": the likelihood does not reach the encoder, as published; "through": it does, and the latent must
    be normalised, else it collapses. The inner flow's data and condition are filled in from the outer ones.
    """

    family: Literal["latent"] = "latent"
    data: Data
    condition: ConditionConfig = NoCondition()
    autoencoder: AutoEncoderConfig = AutoEncoderConfig()
    gradient: Literal["stop", "through"] = "stop"
    normalize: bool = True
    flow: InnerFlow
    seed: Annotated[int, Field(ge=0, lt=2**53)] = 0

    @model_validator(mode="before")
    @classmethod
    def _fill_inner(cls, values: Any) -> Any:
        if not isinstance(values, dict) or not isinstance(values.get("flow"), dict):
            return values
        autoencoder = values.get("autoencoder", {})
        latent = autoencoder.get("latent", 20) if isinstance(autoencoder, dict) else autoencoder.latent
        inner = {"data": {"shape": (latent,)}, **values["flow"]}
        if values.get("normalize", True):
            inner.setdefault("preprocessing", ())
        if "condition" in values:
            inner.setdefault("condition", values["condition"])
        return {**values, "flow": inner}

    @model_validator(mode="after")
    def _consistent(self) -> LatentConfig:
        if len(self.data.shape) != 3:
            raise ValueError(f"data.shape: the latent family needs images C x H x W, got {self.data.shape}")
        if self.flow.data != Data(shape=(self.autoencoder.latent,)):
            raise ValueError(f"flow.data: expected shape ({self.autoencoder.latent},), the auto-encoder's latent")
        if self.flow.condition != self.condition:
            raise ValueError("flow.condition: expected the same condition as the model's")
        if self.gradient == "through" and not self.normalize:
            raise ValueError("normalize: gradient 'through' needs a normalised latent, else it collapses")
        return self


Architecture = Annotated[JointConfig | CouplingConfig | LatentConfig, Field(discriminator="family")]
