"""What OpenAPI says of each operation: bodies, answers, errors, and an example for every kind of condition."""

from __future__ import annotations

from typing import Any

from service.codecs.media import JSON, NPY, NPZ, PNG
from service.examples import REQUESTS, RESPONSES
from service.operations.base import Operation
from service.problems import MEDIA_TYPE, TITLES

OPERATION_ERRORS = (400, 401, 403, 404, 406, 408, 413, 415, 422, 503, 504)
_BINARY = {"type": "string", "format": "binary"}
_QUERY_TYPES = {"integer", "number", "boolean", "string"}


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The error answers of a route."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    responses: dict[int | str, dict[str, Any]] = {}
    for status in statuses:
        responses[status] = {"description": TITLES[status], "content": content}
        if status == 503:
            seconds = {"description": "Seconds after which to try again.", "schema": {"type": "integer"}}
            responses[status]["headers"] = {"Retry-After": seconds}
    return responses


def operation_responses(operation: Operation) -> dict[int | str, dict[str, Any]]:
    """The answers of an operation in every media type, and its errors."""
    answer = {"$ref": f"#/components/schemas/{answer_name(operation)}"}
    content: dict[str, Any] = {JSON: {"schema": answer, "examples": RESPONSES[operation.name]}}
    described = {
        NPZ: "The JSON fields as arrays (nested ones as outer.inner); scalars in X-Condflow-* headers.",
        NPY: "The main array alone.",
        PNG: "A grid of pictures: rows are conditions, columns are samples.",
    }
    for media in operation.media[1:]:
        content[media] = {"schema": {**_BINARY, "description": described[media]}}
    headers = {
        name: {"description": text, "schema": {"type": "string"}}
        for name, text in (
            ("X-Request-Id", "The caller's, where it sent one; else made."),
            ("Server-Timing", "Milliseconds in the queue and computing."),
        )
    }
    return {
        200: {"description": "The answer.", "content": content, "headers": headers},
        **problem_responses(*OPERATION_ERRORS),
    }


def operation_extra(operation: Operation) -> dict[str, Any]:
    """Request body and parameters of an operation."""
    json_body = {
        "schema": {"$ref": f"#/components/schemas/{operation.request.__name__}"},
        "examples": REQUESTS[operation.name],
    }
    npz = {**_BINARY, "description": f"Arrays named {operation.arrays.pattern}; other fields as query parameters."}
    npy = {**_BINARY, "description": f"The array `{operation.main_input}`; other fields as query parameters."}
    return {
        "requestBody": {
            "required": True,
            "content": {JSON: json_body, NPZ: {"schema": npz}, NPY: {"schema": npy}},
        },
        "parameters": [*request_headers(), *_query(operation)],
        "security": [{}, {"bearer": []}],
    }


def answer_name(operation: Operation) -> str:
    """Name of the answer's schema."""
    return operation.request.__name__.replace("Request", "Answer")


def request_headers() -> list[dict[str, Any]]:
    """Headers that every operation reads."""
    return [
        {
            "name": "X-Request-Timeout-Ms",
            "in": "header",
            "description": "Deadline in milliseconds; at most the server's own.",
            "schema": {"type": "integer", "minimum": 1, "maximum": 10_000_000_000},
        },
        {
            "name": "X-Request-Id",
            "in": "header",
            "description": "Echoed where it matches; else one is made.",
            "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
        },
    ]


def _query(operation: Operation) -> list[dict[str, Any]]:
    """The scalar fields, which ride in the query beside binary bodies and nowhere else."""
    parameters = []
    properties = operation.request.model_json_schema()["properties"]
    for name, schema in properties.items():
        if operation.arrays.fullmatch(name) or name == "latent":
            continue
        options = [option for option in schema.get("anyOf", [schema]) if option.get("type") in _QUERY_TYPES]
        plain = {"anyOf": options} if len(options) > 1 else options[0]
        text = f"With binary bodies only. {schema.get('description', '')}".strip()
        parameters.append({"name": name, "in": "query", "description": text, "schema": plain})
    return parameters
