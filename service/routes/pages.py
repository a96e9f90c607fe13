"""GET / (the playground), its static files, GET /docs and GET /openapi.json. Nothing is fetched from elsewhere."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from service.documentation import problem_responses
from service.problems import Problem
from service.reference_page import reference_page

_STATIC = Path(__file__).parent.parent / "static"
_TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}
_FILES = {path.name: path for path in _STATIC.iterdir() if path.suffix in _TYPES}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {"Content-Security-Policy": _POLICY, "X-Frame-Options": "DENY"}


def page_routes() -> APIRouter:
    """Pages for people."""
    router = APIRouter(tags=["pages"])

    @router.get("/", operation_id="playground", response_class=HTMLResponse, responses=problem_responses(403))
    async def playground(request: Request) -> Response:
        """The playground."""
        request.scope["condflow.record"].operation = "pages"
        return HTMLResponse(_read(_STATIC / "playground.html"), headers=_HEADERS)

    @router.get(
        "/static/{name}",
        operation_id="static",
        response_class=Response,
        responses={
            200: {"description": "The file.", "content": {media: {} for media in _TYPES.values()}},
            **problem_responses(403, 404),
        },
    )
    async def static(request: Request, name: str) -> Response:
        """Scripts and styles of the pages."""
        request.scope["condflow.record"].operation = "pages"
        path = _FILES.get(name)
        if path is None:
            raise Problem(404, "no-route", "no such file")
        return Response(_read(path), media_type=_TYPES[path.suffix])

    @router.get("/docs", operation_id="docs", response_class=HTMLResponse, responses=problem_responses(401, 403))
    async def docs(request: Request) -> Response:
        """The reference of this API as one page."""
        request.scope["condflow.record"].operation = "pages"
        return HTMLResponse(reference_page(request.app.openapi()), headers=_HEADERS)

    @router.get("/openapi.json", operation_id="openapi", responses=problem_responses(401, 403))
    async def openapi(request: Request) -> Response:
        """This API as OpenAPI."""
        request.scope["condflow.record"].operation = "pages"
        return JSONResponse(request.app.openapi())

    return router


@cache
def _read(path: Path) -> bytes:
    return path.read_bytes()
