"""Everything under /v2: the Open Inference Protocol's health, metadata, inference and repository index."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from model_store.manifest import Manifest
from service.open_inference.documentation import error_responses, infer_extra, infer_responses
from service.open_inference.exchange import InferExchange
from service.open_inference.metadata import inputs, outputs
from service.open_inference.names import (
    EXTENSIONS,
    PLATFORM,
    Name,
    check_offered,
    offered,
    parse_name,
)
from service.operations.known import OPERATIONS
from service.parts import Parts
from service.problems import OPEN_INFERENCE, unavailable
from service.routes.health import check_alive, check_ready

Handler = Callable[[Request, str, str | None], Awaitable[Response]]
_MODEL = OPEN_INFERENCE + "/models/{model}"
_VERSIONED = _MODEL + "/versions/{version}"


def open_inference_routes(parts: Parts, version: str) -> APIRouter:
    """The routes; `version` is the service's own."""
    router = APIRouter(tags=["open inference protocol"])
    _add_server(router, parts, version)
    protocol = _Models(parts)
    _add(router, "GET", "", "v2-model", protocol.metadata)
    _add(router, "GET", "/ready", "v2-model-ready", protocol.ready)
    _add(router, "GET", "/config", "v2-model-config", protocol.configuration)
    _add(router, "POST", "/infer", "v2-infer", protocol.infer)
    return router


def _add_server(router: APIRouter, parts: Parts, version: str) -> None:
    @router.get(OPEN_INFERENCE, operation_id="v2-server", responses=error_responses(401, 403))
    async def server(request: Request) -> Response:
        """Name, version and extensions of this server."""
        request.scope["condflow.record"].operation = "models"
        return JSONResponse({"name": PLATFORM, "version": version, "extensions": EXTENSIONS})

    @router.get(f"{OPEN_INFERENCE}/health/live", operation_id="v2-live", responses=error_responses(403, 503))
    async def live(request: Request) -> Response:
        """As /livez."""
        request.scope["condflow.record"].operation = "livez"
        check_alive(parts)
        return JSONResponse({"live": True})

    @router.get(f"{OPEN_INFERENCE}/health/ready", operation_id="v2-ready", responses=error_responses(403, 503))
    async def ready(request: Request) -> Response:
        """As /readyz."""
        request.scope["condflow.record"].operation = "readyz"
        check_ready(parts)
        return JSONResponse({"ready": True})

    @router.post(f"{OPEN_INFERENCE}/repository/index", operation_id="v2-index", responses=error_responses(401, 403))
    async def index(request: Request) -> Response:
        """Every loaded version under each of its names. Its body is not read."""
        request.scope["condflow.record"].operation = "models"
        entries = [
            {"name": str(Name(manifest.name, operation)), "version": str(manifest.version), "state": "READY"}
            for manifest in parts.registry.manifests()
            for operation in offered(manifest)
        ]
        return JSONResponse(entries)


class _Models:
    """What is asked of one model."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._registry = parts.registry

    async def metadata(self, request: Request, model: str, version: str | None) -> Response:
        """Inputs and outputs; -1 is any size."""
        name, manifest = await self._described(request, model, version)
        return JSONResponse(
            {
                "name": str(name),
                "versions": [str(number) for number in self._registry.models[name.model].versions],
                "platform": PLATFORM,
                "inputs": [spec.metadata() for spec in inputs(manifest, name.operation)],
                "outputs": [spec.metadata() for spec in outputs(manifest, name.operation)],
            }
        )

    async def configuration(self, request: Request, model: str, version: str | None) -> Response:
        """The same in the form that load generators ask for."""
        name, manifest = await self._described(request, model, version)
        return JSONResponse(
            {
                "name": str(name),
                "platform": PLATFORM,
                "backend": PLATFORM,
                "max_batch_size": 0,
                "input": [
                    {**spec.configuration(), "optional": spec.optional} for spec in inputs(manifest, name.operation)
                ],
                "output": [spec.configuration() for spec in outputs(manifest, name.operation)],
            }
        )

    async def _described(self, request: Request, model: str, version: str | None) -> tuple[Name, Manifest]:
        """The model's name and the version that it describes. Raises Problem."""
        request.scope["condflow.record"].operation = "models"
        name = parse_name(model)
        manifest = await self._registry.manifest(name.model, await self._registry.number(name.model, version))
        check_offered(manifest, name)
        return name, manifest

    async def ready(self, request: Request, model: str, version: str | None) -> Response:
        """Whether the version is loaded; one that no alias names is loaded by its first request."""
        request.scope["condflow.record"].operation = "readyz"
        name = parse_name(model)
        number = await self._registry.number(name.model, version)
        loaded = {(manifest.name, manifest.version): manifest for manifest in self._registry.manifests()}
        manifest = loaded.get((name.model, number))
        if manifest is None or self._parts.admission.state != "serving":
            raise unavailable("loading", f"version {number} of {name.model!r} is not loaded", 1.0)
        check_offered(manifest, name)
        return JSONResponse({"name": str(name), "ready": True})

    async def infer(self, request: Request, model: str, version: str | None) -> Response:
        """Ask the operation that the model's name ends with."""
        name = parse_name(model)
        operation = OPERATIONS[name.operation]
        return await self._parts.pipeline.answer(operation, request, partial(InferExchange, name, version))


def _add(router: APIRouter, method: str, suffix: str, operation_id: str, handler: Handler) -> None:
    """The same route with and without a version."""

    async def latest(request: Request, model: str) -> Response:
        return await handler(request, model, None)

    async def versioned(request: Request, model: str, version: str) -> Response:
        return await handler(request, model, version)

    documented: dict[str, Any] = {"responses": error_responses(401, 403, 404, 503)}
    if method == "POST":
        documented = {"responses": infer_responses(), "openapi_extra": infer_extra(), "response_class": Response}
    summary = (handler.__doc__ or "").strip()
    for path, endpoint, name in (
        (_MODEL + suffix, latest, operation_id),
        (_VERSIONED + suffix, versioned, f"{operation_id}-version"),
    ):
        router.add_api_route(path, endpoint, methods=[method], operation_id=name, summary=summary, **documented)
