"""What HTTP asks of a request's head, whatever the request is."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.types import Scope

from service.problems import Problem

_ONCE = {
    b"host": "Host",
    b"content-type": "Content-Type",
    b"authorization": "Authorization",
    b"x-request-timeout-ms": "X-Request-Timeout-Ms",
}


def read_head(scope: Scope) -> Mapping[bytes, bytes]:
    """The header fields by name; of those that may be repeated, the first one.

    Raises:
        Problem: 400 where a field is repeated that has one value, or HTTP/1.1 comes without Host (RFC 9112, 3.2).
    """
    fields, named = scope["headers"], scope["condflow.record"].headers
    if len(named) < len(fields):
        _refuse_repeated([name for name, _ in fields])
    if b"host" not in named and scope["http_version"] == "1.1":
        raise _refusal("Host", "HTTP/1.1 needs this header")
    return named


def _refuse_repeated(names: list[bytes]) -> None:
    for name, shown in _ONCE.items():
        if names.count(name) > 1:
            raise _refusal(shown, f"expected this header once, got it {names.count(name)} times")


def _refusal(header: str, detail: str) -> Problem:
    return Problem(400, "header", f"{header}: {detail}", header=header)
