"""The refusal of what is no request: written to the connection as it stands, for there is nothing to ask the app."""

from __future__ import annotations

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from service.problems import Problem


def no_request(error: Exception) -> Problem:
    """400 for what the parser, or uvicorn's reading of a head, has refused with `error`."""
    if isinstance(error, httptools.HttpParserError) and not isinstance(error, httptools.HttpParserCallbackError):
        return Problem(400, "http", f"expected an HTTP/1.1 request: {error}")
    return Problem(400, "http", "expected an HTTP/1.1 request whose target is a path and a query, in ASCII")


def long_head(target: bytes, most: int) -> Problem:
    """414 where the target is most of a head of more than `most` bytes, else 431."""
    if 2 * len(target) > most:
        return Problem(414, "long-target", f"the request's target is longer than {most} bytes allow")
    return Problem(431, "long-head", f"the request's head is longer than {most} bytes")


def on_the_wire(problem: Problem, default_headers: list[tuple[bytes, bytes]]) -> bytes:
    """A whole answer that ends its connection."""
    response = problem.response({"path": ""})
    headers = (*default_headers, *response.raw_headers, (b"connection", b"close"))
    lines = (b"%s: %s\r\n" % pair for pair in headers)
    return b"".join((STATUS_LINE[problem.status], *lines, b"\r\n", response.body))
