"""Shapes of the answers in JSON, for OpenAPI. They are rendered straight from arrays and never pass through these."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema


def _nested(kind: str, depth: int, description: str) -> Any:
    items: dict[str, Any] = {"type": [kind, "null"]}
    for _ in range(depth):
        items = {"anyOf": [items, {"type": "array", "items": items}]}
    return WithJsonSchema({"type": "array", "items": items, "description": description})


Array = Annotated[Any, _nested("number", 5, "Nested lists; null where not finite.")]
PerRow = Annotated[list[float | None], Field(description="One number per row; null where not finite.")]
_EXTRAPOLATED = (
    "Whether the condition lies outside the range that the version was fitted to, by more than a tenth of it; left out "
    "where the version does not know, and for conditions that are no vectors."
)
Rows = Annotated[Any, _nested("number", 3, "One entry per row.")]


class Nonfinite(BaseModel):
    """A value that JSON cannot say and that stands as null in the answer."""

    field: Annotated[str, Field(description="Name of the field, `latent/z` for a nested one.")]
    index: Annotated[list[int], Field(description="Its place in the field.")]
    kind: Literal["nan", "inf", "-inf"]


class Answer(BaseModel):
    """Who answered."""

    model_config = ConfigDict(extra="forbid")

    model: str
    version: int
    digest: str
    nonfinite: list[Nonfinite] = []


class Summary(BaseModel):
    """Statistics of the samples [conditions, *data]; without the first axis where `condition` was asked, or none."""

    model_config = ConfigDict(extra="forbid")

    mean: Array = None
    sd: Annotated[Any, _nested("number", 5, "By n - 1.")] = None
    quantiles: Annotated[Any, _nested("number", 5, "[conditions, levels, *data], linear between ranks.")] = None
    quantile_levels: list[float] = []
    quantile_error: Annotated[
        float, Field(description="By how much a rank may be wrong at most, as a share of the samples; 0 is exact.")
    ] = 0.0
    covariance: Annotated[Any, _nested("number", 3, "[conditions, D, D], by n - 1.")] = None


class SampleAnswer(Answer):
    """Samples [conditions, num_samples, *data]; without the first axis where `condition` was asked, or none."""

    samples: Array = None
    seed: int
    log_likelihood: Array = None
    latent: dict[str, Array] = {}
    summary: Summary | None = None
    extrapolated: Annotated[bool | list[bool], Field(description=_EXTRAPOLATED)] = False


class LoglikAnswer(Answer):
    """Natural log, per row, data units."""

    log_likelihood: PerRow
    bits_per_dim: PerRow = []
    percentile: PerRow | None
    p_value: PerRow | None
    space: Literal["data", "latent"]
    estimator: Literal["exact", "importance", "bound"]
    std_error: PerRow = []
    effective_sample_size: PerRow = []
    unreliable: list[bool] = []
    extrapolated: Annotated[list[bool], Field(description=_EXTRAPOLATED)] = []
    draws: int
    seed: int


class InferConditionAnswer(Answer):
    """Labels: label, index, probabilities, model_posterior, calibrated; vectors and images: condition and std."""

    label: list[str | None] = []
    index: list[int] = []
    probabilities: Rows = None
    model_posterior: Rows = None
    calibrated: bool = False
    condition: Array = None
    std: Array = None
    effective_sample_size: PerRow = []
    draws: int
    seed: int


class EncodeAnswer(Answer):
    """Latent parts by name, each [rows, *part]."""

    latent: dict[str, Array]
    extrapolated: Annotated[list[bool], Field(description=_EXTRAPOLATED)] = []
    seed: int


class FieldProblem(BaseModel):
    """What is wrong with one field."""

    detail: str
    pointer: Annotated[str, Field(description="JSON pointer to the field.")] = ""
    header: Annotated[str, Field(description="Name of the header, where it is one.")] = ""


class ProblemDocument(BaseModel):
    """RFC 9457."""

    model_config = ConfigDict(title="Problem")

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldProblem] = []
