"""The OpenAPI document: FastAPI's, with the schemas of bodies that the service reads by itself."""

from __future__ import annotations

from typing import Any

import yaml
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from service.answers import EncodeAnswer, InferConditionAnswer, LoglikAnswer, ProblemDocument, SampleAnswer
from service.open_inference.documentation import InferenceError, InferenceResponse
from service.open_inference.requests import InferenceRequest
from service.requests import EncodeRequest, InferConditionRequest, LoglikRequest, SampleRequest
from service.routes.admin import AliasMove

_MODELS: tuple[type[BaseModel], ...] = (
    SampleRequest,
    LoglikRequest,
    InferConditionRequest,
    EncodeRequest,
    SampleAnswer,
    LoglikAnswer,
    InferConditionAnswer,
    EncodeAnswer,
    AliasMove,
    InferenceRequest,
    InferenceResponse,
    InferenceError,
    ProblemDocument,
)
_TEMPLATE = "#/components/schemas/{model}"


def openapi_of(app: FastAPI) -> dict[str, Any]:
    """The document of `app`, made once."""
    if app.openapi_schema is None:
        app.openapi_schema = _build(app)
    return app.openapi_schema


def _build(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes, tags=app.openapi_tags
    )
    modes = [(model, "validation") for model in _MODELS]
    _, schemas = models_json_schema(modes, ref_template=_TEMPLATE)  # type: ignore[arg-type]
    components = document.setdefault("components", {})
    definitions = schemas["$defs"]
    definitions["Problem"] = definitions.pop("ProblemDocument")
    components["schemas"] = dict(sorted({**components.get("schemas", {}), **definitions}.items()))
    for unused in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(unused, None)
    components["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "Needed where the service has keys."}
    }
    for path in document["paths"].values():
        for operation in path.values():
            # FastAPI documents a validation error of its own that these routes never answer.
            if "HTTPValidationError" in str(operation["responses"].get("422", "")):
                del operation["responses"]["422"]
    return document


def openapi_text(app: FastAPI) -> str:
    """The document as YAML, as it is kept in `openapi.yaml`."""
    return yaml.safe_dump(openapi_of(app), sort_keys=False, allow_unicode=True, width=120)
