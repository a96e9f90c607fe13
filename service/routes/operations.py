"""POST /sample, /loglik, /infer-condition and /encode."""

from __future__ import annotations

from functools import partial

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from service.documentation import operation_extra, operation_responses
from service.exchange import FieldsExchange
from service.operations.base import Operation
from service.operations.known import OPERATIONS
from service.parts import Parts


def operation_routes(parts: Parts) -> APIRouter:
    """One POST route per operation; bodies are read by the pipeline, not by FastAPI."""
    router = APIRouter(tags=["operations"])
    for operation in OPERATIONS.values():
        _add(router, parts, operation)
    return router


def _add(router: APIRouter, parts: Parts, operation: Operation) -> None:
    async def answer(request: Request) -> Response:
        return await parts.pipeline.answer(operation, request, partial(FieldsExchange, operation))

    router.add_api_route(
        f"/{operation.name}",
        answer,
        methods=["POST"],
        operation_id=operation.name,
        summary=(operation.__doc__ or "").strip(),
        description=(operation.request.__doc__ or "").strip(),
        response_class=Response,
        responses=operation_responses(operation),
        openapi_extra=operation_extra(operation),
    )
