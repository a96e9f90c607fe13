"""What OpenAPI says of the routes under /v2."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from service.codecs.media import JSON
from service.documentation import OPERATION_ERRORS, request_headers
from service.open_inference.exchange import HEAD_BYTES, OCTETS
from service.problems import TITLES

_BINARY = {"type": "string", "format": "binary"}
_REF = "#/components/schemas/"
_DATA = WithJsonSchema({"type": "array", "description": "Flat in row-major order; null where not finite."})
_EXAMPLES = {
    "sample": {
        "summary": "gaussian-mixture.sample: two samples of each of two classes",
        "value": {
            "inputs": [{"name": "condition", "datatype": "INT64", "shape": [2], "data": [0, 3]}],
            "parameters": {"num_samples": 2, "seed": 7},
        },
    },
    "loglik": {
        "summary": "gaussian-mixture.loglik",
        "value": {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [0.5, -1.2]}]},
    },
}


class InferenceError(BaseModel):
    """Why a request was refused."""

    model_config = ConfigDict(extra="forbid")

    error: str


class ResponseOutput(BaseModel):
    """An output tensor."""

    name: str
    datatype: str
    shape: list[int]
    data: Annotated[Any, _DATA] = None
    parameters: Annotated[dict[str, int], Field(description="`binary_data_size` in place of `data`.")] = {}


class InferenceResponse(BaseModel):
    """The outputs, and as parameters the scalars of the answer: `seed`, `draws`, `digest`, ..."""

    model_name: str
    model_version: str
    id: str = ""
    parameters: dict[str, bool | int | float | str]
    outputs: list[ResponseOutput]


def error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The error answers of a route."""
    content = {JSON: {"schema": {"$ref": _REF + InferenceError.__name__}}}
    responses: dict[int | str, dict[str, Any]] = {
        status: {"description": TITLES[status], "content": content} for status in statuses
    }
    if 503 in responses:
        seconds = {"description": "Seconds after which to try again.", "schema": {"type": "integer"}}
        responses[503] = {**responses[503], "headers": {"Retry-After": seconds}}
    return responses


def infer_responses() -> dict[int | str, dict[str, Any]]:
    """The answers of inference."""
    length = {"description": "Bytes of the JSON object before the tensors.", "schema": {"type": "string"}}
    content = {
        JSON: {"schema": {"$ref": _REF + InferenceResponse.__name__}},
        OCTETS: {"schema": {**_BINARY, "description": "The JSON object, then the raw tensors."}},
    }
    errors = [status for status in OPERATION_ERRORS if status != 406]
    return {
        200: {"description": "The answer.", "content": content, "headers": {HEAD_BYTES: length}},
        **error_responses(*errors),
    }


def infer_extra() -> dict[str, Any]:
    """Request body and parameters of inference."""
    request: dict[Literal["schema", "examples"], Any] = {"schema": {"$ref": f"{_REF}InferenceRequest"}}
    head: dict[str, Any] = {
        "name": HEAD_BYTES,
        "in": "header",
        "description": "Bytes of the JSON object where raw tensors follow it.",
        "schema": {"type": "integer", "minimum": 0, "maximum": 10**17},
    }
    binary = {**_BINARY, "description": "The JSON object, then the raw tensors in the order of its inputs."}
    return {
        "requestBody": {
            "required": True,
            "content": {JSON: {**request, "examples": _EXAMPLES}, OCTETS: {"schema": binary}},
        },
        "parameters": [head, *request_headers()],
        "security": [{}, {"bearer": []}],
    }
