"""What every refusal of the service looks like."""

from __future__ import annotations

from typing import Any

import httpx

JSON = {"Content-Type": "application/json"}
GOOD = {"model": "labels", "x": [[0.0, 1.0]]}


def problem(response: httpx.Response, status: int, pointer: str | None = None) -> dict[str, Any]:
    """The problem document of a refusal, which must have this status and name this field."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert document["status"] == status
    assert document["type"].startswith("urn:condflow:problem:")
    assert document["title"]
    assert document["detail"]
    if pointer is not None:
        assert pointer in [error["pointer"] for error in document["errors"]], document
    return document
