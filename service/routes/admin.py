"""POST /admin/reload and PUT /models/{name}/aliases/{alias}; there only when some key has the scope `admin`."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, StrictInt
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from model_store.errors import AliasConflict, BadName, StoreError
from service.catalogue import unknown_version
from service.codecs.json import parse_object
from service.codecs.media import JSON
from service.documentation import problem_responses
from service.parts import Parts
from service.problems import Problem, invalid, too_large
from service.requests import validate

_MAX_BODY = 4096


class AliasMove(BaseModel):
    """Where an alias shall point; with `expected_generation` only if nobody moved it since."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Annotated[StrictInt, Field(ge=1)]
    expected_generation: Annotated[StrictInt, Field(ge=0)] | None = None


def admin_routes(parts: Parts) -> APIRouter:
    """Routes that change something."""
    router = APIRouter(tags=["admin"])
    registry = parts.registry

    @router.post("/admin/reload", operation_id="reload", responses=problem_responses(401, 403, 404))
    async def reload(request: Request) -> Response:
        """Look at the store now, and try again what failed to load."""
        request.scope["condflow.record"].operation = "admin"
        await registry.refresh(retry=True)
        failures = [
            {"model": name, "version": version, "detail": why} for (name, version), why in registry.failures().items()
        ]
        return JSONResponse({"loaded": registry.serving, "failures": failures})

    @router.put(
        "/models/{name}/aliases/{alias}",
        operation_id="move-alias",
        responses=problem_responses(400, 401, 403, 404, 409, 413, 415, 422),
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {JSON: {"schema": {"$ref": "#/components/schemas/AliasMove"}, "example": {"version": 1}}},
            }
        },
    )
    async def move_alias(request: Request, name: str, alias: str) -> Response:
        """Point an alias to a version; the service follows before it answers."""
        request.scope["condflow.record"].operation = "admin"
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
            raise Problem(415, "media-type", f"expected Content-Type {JSON}", header="Content-Type")
        move: AliasMove = validate(AliasMove, parse_object(await _small_body(request)))
        await registry.manifest(name, None)
        try:
            generation = await asyncio.to_thread(
                registry.store.set_alias, name, alias, move.version, move.expected_generation
            )
        except AliasConflict as error:
            raise Problem(409, "alias-conflict", str(error)) from None
        except BadName as error:
            raise invalid("/alias", str(error)) from None
        except StoreError:
            raise unknown_version(name, move.version) from None
        await registry.refresh()
        return JSONResponse({"model": name, "alias": alias, "version": move.version, "generation": generation})

    return router


async def _small_body(request: Request) -> bytes:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _MAX_BODY:
            raise too_large("bytes", _MAX_BODY, None)
    return body
