"""Errors as RFC 9457 problem documents: type, title, status, detail, and `errors` that point to the fields."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

MEDIA_TYPE = "application/problem+json"
OPEN_INFERENCE = "/v2"
TITLES = {
    400: "Malformed request",
    401: "No or bad key",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    406: "No answer of an accepted media type",
    408: "Too slow",
    409: "Conflict",
    413: "Too large",
    414: "Target too long",
    415: "Unsupported media type",
    422: "Invalid field",
    431: "Head too long",
    500: "Internal error",
    503: "Unavailable",
    504: "Deadline passed",
}
_OWN_TITLES = {"cannot-answer": "Not answered by this version"}


class Problem(Exception):
    """A refusal that the client sees.

    `slug` completes the problem's type `urn:condflow:problem:<slug>`; `errors` are `{"pointer", "detail"}`, or
    `{"header", "detail"}` where a header is at fault.
    """

    def __init__(
        self,
        status: int,
        slug: str,
        detail: str,
        *,
        pointer: str | None = None,
        header: str | None = None,
        errors: list[dict[str, str]] | None = None,
        headers: Mapping[str, str] | None = None,
        reason: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.slug = slug
        self.detail = detail
        self.errors = list(errors or ())
        if pointer:
            self.errors.append({"pointer": pointer, "detail": detail})
        if header:
            self.errors.append({"header": header, "detail": detail})
        self.headers = dict(headers or {})
        self.reason = reason

    def document(self) -> dict[str, Any]:
        """The body of the answer."""
        content: dict[str, Any] = {
            "type": f"urn:condflow:problem:{self.slug}",
            "title": _OWN_TITLES.get(self.slug) or TITLES.get(self.status, "Error"),
            "status": self.status,
            "detail": self.detail,
        }
        if self.errors:
            content["errors"] = self.errors
        return content

    def response(self, scope: Scope) -> Response:
        """The answer to the request of `scope`: under /v2 in the words of the Open Inference Protocol."""
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        foreign = path == OPEN_INFERENCE or path.startswith(f"{OPEN_INFERENCE}/")
        document, media = ({"error": self.detail}, "application/json") if foreign else (self.document(), MEDIA_TYPE)
        # A lone surrogate from a client's text must not break the answer that quotes it.
        try:
            body = orjson.dumps(document)
        except (TypeError, orjson.JSONEncodeError):
            body = orjson.dumps(scrub(document))
        return Response(body, self.status, media_type=media, headers=self.headers)


def scrub(value: Any) -> Any:
    """The same content with everything that UTF-8 cannot carry replaced."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {key: scrub(item) for key, item in value.items()}
    if isinstance(value, list):
        return [scrub(item) for item in value]
    return value


def malformed(detail: str, slug: str = "malformed", pointer: str | None = None) -> Problem:
    """400: the body is not what its media type says."""
    return Problem(400, slug, detail, pointer=pointer)


def invalid(pointer: str, detail: str) -> Problem:
    """422: a field has the wrong shape, type, range or condition."""
    return Problem(
        422,
        "invalid-field",
        f"{spoken(pointer) or 'body'}: {detail}",
        errors=[{"pointer": pointer, "detail": detail}],
    )


def too_large(
    limit: str,
    maximum: int,
    asked: int | None,
    hint: str = "",
    pointer: str | None = None,
    header: str | None = None,
) -> Problem:
    """413: the request is past a limit, which the detail names."""
    amount = "more" if asked is None else f"{asked}"
    detail = f"limit `{limit}` is {maximum}; this request has {amount}.{' ' + hint if hint else ''}"
    return Problem(413, "too-large", detail, pointer=pointer, header=header)


def unavailable(reason: str, detail: str, retry_after_s: float) -> Problem:
    """503 with the seconds after which to try again, at least one."""
    seconds = max(1, math.ceil(retry_after_s))
    return Problem(503, reason, detail, headers={"Retry-After": str(seconds)}, reason=reason)


def lost_device() -> Problem:
    """503: the engine's device is gone for good; this process ends, and its successor may answer."""
    return unavailable("lost-device", "the engine's device is gone; this process ends", 10.0)


def deadline_passed(stage: str) -> Problem:
    """504: the request's deadline passed before its answer."""
    return Problem(504, "deadline", f"the deadline passed while the request was in stage `{stage}`", reason="deadline")


def internal(request_id: str) -> Problem:
    """500: what went wrong is in the log, under the request's id."""
    return Problem(500, "internal", f"an error inside the service; request id {request_id}")


def escaped(name: str) -> str:
    """A field's name as a part of a JSON pointer (RFC 6901), shortened."""
    return name[:64].replace("~", "~0").replace("/", "~1")


def spoken(pointer: str) -> str:
    """The path of a JSON pointer as people read it."""
    return pointer.removeprefix("/").replace("~1", "/").replace("~0", "~")


async def answer_problem(request: Request, error: Exception) -> Response:
    """Exception handler for Problem."""
    assert isinstance(error, Problem)
    return error.response(request.scope)


async def answer_failure(request: Request, _error: Exception) -> Response:
    """Exception handler for what a route should not have raised; it is raised on, for the log."""
    return internal(request.scope["condflow.record"].request_id).response(request.scope)


async def answer_http_exception(request: Request, error: Exception) -> Response:
    """Exception handler for what the router itself raises: 404 and 405."""
    status = getattr(error, "status_code", 500)
    headers = dict(getattr(error, "headers", None) or {})
    if "GET" in (allowed := headers.get("Allow", "").split(", ")):
        headers["Allow"] = ", ".join((*allowed, "HEAD"))
    methods = f"this route takes {headers.get('Allow', 'other methods')}"
    detail = {404: "no such route", 405: methods}.get(status, str(getattr(error, "detail", "")))
    slug = {404: "no-route", 405: "method"}.get(status, "http")
    return Problem(status, slug, detail, headers=headers).response(request.scope)
