"""POST /sample, /loglik, /infer-condition and /encode: documented as routes, and answered before one is looked for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from service.documentation import operation_extra, operation_responses
from service.exchange import Dialect, FieldsExchange
from service.operations.base import Operation
from service.operations.known import OPERATIONS
from service.parts import Parts
from service.problems import Problem


def operation_routes(parts: Parts) -> APIRouter:
    """One POST route per operation; bodies are read by the pipeline, not by FastAPI."""
    router = APIRouter(tags=["operations"])
    for operation in OPERATIONS.values():
        router.add_api_route(
            f"/{operation.name}",
            _answer(parts, operation),
            methods=["POST"],
            operation_id=operation.name,
            summary=(operation.__doc__ or "").strip(),
            description=(operation.request.__doc__ or "").strip(),
            response_class=Response,
            responses=operation_responses(operation),
            openapi_extra=operation_extra(operation),
        )
    return router


class Shortcut:
    """Pure ASGI: hands a POST to an operation straight to its answer, and all else to the router.

    The router's way through a FastAPI route costs about as much as all that the service does with one row.
    """

    def __init__(self, app: ASGIApp, parts: Parts) -> None:
        self._app, self._pipeline = app, parts.pipeline
        self._asked = {f"/{name}": (operation, _dialect(operation)) for name, operation in OPERATIONS.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        asked = None
        if scope["method"] == "POST":
            asked = self._asked.get(scope["path"].removeprefix(scope.get("root_path", "")))
        if asked is None:
            await self._app(scope, receive, send)
            return
        operation, dialect = asked
        try:
            response = await self._pipeline.answer(operation, Request(scope, receive), dialect)
        except Problem as problem:
            response = problem.response(scope)
        await response(scope, receive, send)


def _answer(parts: Parts, operation: Operation) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        return await parts.pipeline.answer(operation, request, _dialect(operation))

    return answer


def _dialect(operation: Operation) -> Dialect:
    return partial(FieldsExchange, operation)
