"""GET /models and what lies under it: versions, aliases, signatures, manifests, cards and pictures."""

from __future__ import annotations

import asyncio
from pathlib import PurePosixPath
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from model_store.errors import StoreError
from service.documentation import problem_responses
from service.parts import Parts
from service.problems import Problem

FILE_TYPES = {
    ".md": "text/markdown; charset=utf-8",
    ".png": "image/png",
    ".json": "application/json",
    ".csv": "text/csv; charset=utf-8",
}
_SANDBOX = "sandbox; default-src 'none'; frame-ancestors 'none'"


def model_routes(parts: Parts) -> APIRouter:
    """Everything that can be read about models. Names and cards are untrusted text; they are served as data only."""
    router = APIRouter(tags=["models"])
    registry, limits = parts.registry, parts.settings.limits

    @router.get("/models", operation_id="list-models", responses=problem_responses(401, 403, 503))
    async def list_models(request: Request) -> Response:
        """All models with their versions and aliases, and the limits of this service."""
        request.scope["condflow.record"].operation = "models"
        serving, resident = registry.serving, registry.resident
        models = [
            {
                "name": model.name,
                "versions": list(model.versions),
                "aliases": dict(model.aliases),
                "default": model.default,
                "loaded": serving.get(model.name, []),
                "resident": resident.get(model.name, []),
            }
            for model in registry.models.values()
        ]
        return JSONResponse({"models": models, "limits": limits.model_dump()})

    @router.get("/models/{name}", operation_id="show-model", responses=problem_responses(401, 403, 404, 503))
    async def show_model(request: Request, name: str) -> Response:
        """One model: versions, aliases, and of its default version signature, class names, limits and metrics."""
        request.scope["condflow.record"].operation = "models"
        number = registry.served(name)
        manifest = await registry.manifest(name, number)
        model = registry.models[name]
        content: dict[str, Any] = {
            "name": name,
            "versions": list(model.versions),
            "aliases": dict(model.aliases),
            "default": model.default,
            "loaded": registry.serving.get(name, []),
            "resident": registry.resident.get(name, []),
            "unloadable": sorted(version for other, version in registry.failures() if other == name),
            "version": manifest.version,
            "digest": manifest.digest,
            "family": manifest.family,
            "parameters": manifest.parameters,
            "signature": manifest.signature.model_dump(mode="json"),
            "classes": list(getattr(manifest.signature.condition, "classes", ())) or None,
            "class_prior": manifest.class_prior,
            "metrics": manifest.metrics,
            "limits": limits.model_dump(),
        }
        return JSONResponse(content)

    @router.get(
        "/models/{name}/versions/{version}",
        operation_id="show-version",
        responses=problem_responses(401, 403, 404, 503),
    )
    async def show_version(request: Request, name: str, version: str) -> Response:
        """The manifest of a version, named by its number, an alias or its digest."""
        request.scope["condflow.record"].operation = "models"
        manifest = await registry.manifest(name, version)
        content = {"digest": manifest.digest, **manifest.model_dump(mode="json")}
        return JSONResponse(content, headers={"ETag": f'"{manifest.digest}"'})

    @router.get(
        "/models/{name}/versions/{version}/files/{path:path}",
        operation_id="show-file",
        response_class=Response,
        responses={
            200: {"description": "The file.", "content": {media: {} for media in FILE_TYPES.values()}},
            **problem_responses(401, 403, 404, 503),
        },
    )
    async def show_file(request: Request, name: str, version: str, path: str) -> Response:
        """A card, a picture or a table of a version; verified, and sandboxed in a browser."""
        request.scope["condflow.record"].operation = "files"
        manifest = await registry.manifest(name, version)
        media = FILE_TYPES.get(PurePosixPath(path).suffix)
        entry = manifest.file(path)
        if entry is None or media is None:
            raise Problem(404, "unknown-file", f"no file {path[:100]!r} to show in this version", pointer="/path")
        try:
            content = await asyncio.to_thread(registry.store.read, manifest, path)
        except StoreError:
            raise Problem(404, "damaged-file", f"{path!r} does not pass its verification") from None
        headers = {
            "Content-Security-Policy": _SANDBOX,
            "Content-Disposition": "inline",
            "Cross-Origin-Resource-Policy": "same-origin",
            "ETag": f'"{entry.digest}"',
        }
        return Response(content, media_type=media, headers=headers)

    return router
