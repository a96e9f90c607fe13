"""What each operation may be asked, in JSON terms: strict scalars here, arrays checked against the signature later."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr, WithJsonSchema
from pydantic import ValidationError as PydanticError

from inference.fields import SEED_LIMIT, described
from inference.summaries import DEFAULT_LEVELS, MOST_LEVELS, STATISTICS
from service.problems import Problem, escaped, spoken

_NUMBER = {"type": "number"}


def _nested(depth: int) -> dict[str, Any]:
    items = _NUMBER if depth == 1 else {"anyOf": [_NUMBER, _nested(depth - 1)]}
    return {"type": "array", "minItems": 1, "items": items}


_PNG = {"type": "string", "contentEncoding": "base64", "contentMediaType": "image/png"}
_LABEL = {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string"}]}

XField = Annotated[
    Any,
    WithJsonSchema(
        {
            "description": "Rows [n, *data shape], or one row; of 8-bit image models integers, or base64 PNGs.",
            "anyOf": [_nested(4), _PNG, {"type": "array", "minItems": 1, "items": _PNG}],
        }
    ),
]
ConditionField = Annotated[
    Any,
    WithJsonSchema(
        {
            "description": (
                "By the model's signature: a class index or name; M numbers; an image C x H x W or a base64 PNG. "
                "Where several are welcome, a list of them. Absent for unconditional models."
            ),
            "anyOf": [_LABEL, _nested(4), {"type": "array", "minItems": 1, "items": _LABEL}, {"type": "null"}],
        }
    ),
]
ConditionsField = Annotated[
    Any,
    WithJsonSchema(
        {
            "description": "Several conditions: a list of labels, [n, M] numbers, [n, C, H, W] or a list of PNGs.",
            "anyOf": [_nested(4), {"type": "array", "minItems": 1, "items": _LABEL}, {"type": "null"}],
        }
    ),
]
LatentField = Annotated[
    Any,
    WithJsonSchema(
        {
            "description": "Latent parts by name, each [num_samples, *part]; parts left out are drawn.",
            "anyOf": [{"type": "object", "additionalProperties": _nested(4)}, {"type": "null"}],
        }
    ),
]
SummaryField = Annotated[
    Any,
    WithJsonSchema(
        {
            "description": "Statistics of the samples of each condition, gathered while they are drawn.",
            "anyOf": [
                {
                    "type": "array",
                    "minItems": 1,
                    "uniqueItems": True,
                    "items": {"type": "string", "enum": list(STATISTICS)},
                },
                {"type": "null"},
            ],
        }
    ),
]
LevelsField = Annotated[
    Any,
    WithJsonSchema(
        {
            "description": f"Levels of the quantiles of `summary`. Default: {', '.join(map(str, DEFAULT_LEVELS))}.",
            "anyOf": [
                {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": MOST_LEVELS,
                    "items": {"type": "number", "minimum": 0, "maximum": 1},
                },
                {"type": "null"},
            ],
        }
    ),
]
PriorField = Annotated[
    Any,
    WithJsonSchema(
        {
            "description": "p(k) of all classes, summing to 1; of label models only. Default: the version's.",
            "anyOf": [
                {"type": "array", "minItems": 2, "items": {"type": "number", "minimum": 0, "maximum": 1}},
                {"type": "null"},
            ],
        }
    ),
]
Seed = Annotated[StrictInt, Field(ge=0, lt=SEED_LIMIT, description="Same seed, same noise.")]
Draws = Annotated[StrictInt, Field(ge=1, description="Noise draws K per row. Default: the version's.")]
_Scale = Field(ge=0, le=100)
Temperature = Annotated[
    Annotated[StrictFloat, _Scale] | Annotated[StrictInt, _Scale],
    Field(union_mode="left_to_right", description="Scales all latent parts; 0 is the latent's mode."),
]


class Question(BaseModel):
    """What every operation asks: which model."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    model: Annotated[StrictStr, Field(min_length=1, max_length=200, description="Name of the model.")]
    version: Annotated[
        StrictInt | StrictStr | None,
        Field(description="Version number, alias or digest. Default: alias `champion`, else the highest version."),
    ] = None


class SampleRequest(Question):
    """Draw x given a condition."""

    condition: ConditionField = None
    conditions: ConditionsField = None
    num_samples: Annotated[StrictInt, Field(ge=1)] | None = None
    temperature: Temperature = 1.0
    seed: Annotated[Seed | None, Field(description="Drawn by the server when absent, always answered.")] = None
    shared_latent: Annotated[StrictBool, Field(description="The same latents for every condition.")] = False
    latent: LatentField = None
    return_log_likelihood: StrictBool = False
    return_latent: StrictBool = False
    summary: SummaryField = None
    quantile_levels: LevelsField = None
    return_samples: Annotated[
        StrictBool | None, Field(description="Answer the samples. Default: only where no `summary` is asked.")
    ] = None


class LoglikRequest(Question):
    """Score x: per row, natural log, data units."""

    x: XField
    condition: ConditionField = None
    draws: Draws | None = None
    seed: Seed | None = None
    class_prior: PriorField = None


class InferConditionRequest(Question):
    """Read the condition back off x."""

    x: XField
    draws: Draws | None = None
    seed: Seed | None = None
    class_prior: PriorField = None


class EncodeRequest(Question):
    """The latent that gives this x under this condition."""

    x: XField
    condition: ConditionField = None
    seed: Seed | None = None


def validate(model: type[BaseModel], content: Mapping[str, Any]) -> Any:
    """The request, or Problem (422) with a pointer to every wrong field."""
    try:
        return model.model_validate(content)
    except PydanticError as error:
        errors = []
        for item in error.errors(include_url=False, include_context=False)[:20]:
            name = str(item["loc"][0])
            known = {"extra_forbidden": "no such field", "missing": "this field is needed"}.get(item["type"])
            detail = known or f"expected {_wanted(model)[name]}, got {_found(item['input'])}"
            errors.append({"pointer": f"/{escaped(name)}", "detail": detail})
        unique = list({entry["pointer"]: entry for entry in reversed(errors)}.values())[::-1]
        detail = "; ".join(f"{spoken(entry['pointer'])}: {entry['detail']}" for entry in unique)
        raise Problem(422, "invalid-field", detail, errors=unique) from None


@cache
def _wanted(model: type[BaseModel]) -> dict[str, str]:
    """What each field takes, in words, by its schema."""
    return {name: _in_words(schema) for name, schema in model.model_json_schema()["properties"].items()}


def _in_words(schema: Mapping[str, Any]) -> str:
    words: list[str] = []
    for kind in schema.get("anyOf", [schema]):
        low, high = kind.get("minimum"), kind.get("maximum")
        if "exclusiveMaximum" in kind:
            high = kind["exclusiveMaximum"] - 1
        bounds = "" if low is None else f" {low} or more" if high is None else f" {low}..{high}"
        match kind.get("type"):
            case "integer" if f"a number{bounds}" not in words:
                words.append(f"an integer{bounds}")
            case "number":
                words.append(f"a number{bounds}")
            case "string":
                most = kind.get("maxLength")
                words.append("a string" if most is None else f"a string of {kind['minLength']}..{most} characters")
            case "boolean":
                words.append("true or false")
    return " or ".join(words)


def _found(value: Any) -> str:
    return f"a string of {len(value)} characters" if isinstance(value, str) else described(value)
