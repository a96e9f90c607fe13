"""A reply as bytes of the media type that was asked for, with the scalars of binary answers in headers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from starlette.responses import Response

from inference.loaded import Loaded
from service.codecs.json import render_object
from service.codecs.media import JSON, NPY, NPZ
from service.codecs.npy import write_npy
from service.codecs.npz import write_npz
from service.codecs.png import encode_grid
from service.operations.base import Reply


class Whole(Response):
    """An answer that is there; Starlette's own takes as long to be made as the text of a few rows."""

    def __init__(self, body: bytes, media: str) -> None:
        self.body, self.status_code, self.background = body, 200, None
        self.media = media.encode()

    @property
    def raw_headers(self) -> list[tuple[bytes, bytes]]:  # type: ignore[override]
        """How long it is, and what."""
        return [(b"content-length", b"%d" % len(self.body)), (b"content-type", self.media)]


def identity(loaded: Loaded) -> dict[str, Any]:
    """Who answered."""
    return {"model": loaded.name, "version": loaded.version, "digest": loaded.digest}


def render(loaded: Loaded, reply: Reply, media: str) -> Response:
    """The answer."""
    if media == JSON:
        text, suspect = render_object({**identity(loaded), **reply.fields})
        reply.finite = not suspect
        return Whole(text, JSON)
    arrays, scalars = split(reply.fields)
    headers = {_header(name): _text(value) for name, value in {**identity(loaded), **scalars}.items()}
    if media == NPZ:
        return Response(write_npz(arrays), media_type=NPZ, headers=headers)
    if media == NPY:
        return Response(write_npy(arrays[reply.main]), media_type=NPY, headers=headers)
    assert reply.pictures is not None
    return Response(encode_grid(reply.pictures, reply.levels), media_type=media, headers=headers)


def render_line(content: Mapping[str, Any]) -> bytes:
    """One line of an answer that streams."""
    return render_object(content)[0] + b"\n"


def split(fields: Mapping[str, Any]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays, with `outer.inner` for nested ones, and scalars; what is None is left out."""
    arrays: dict[str, np.ndarray] = {}
    scalars: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, np.ndarray):
            arrays[name] = value
        elif isinstance(value, Mapping):
            inner_arrays, inner_scalars = split(value)
            arrays.update({f"{name}.{inner}": array for inner, array in inner_arrays.items()})
            scalars.update({f"{name}_{inner}": scalar for inner, scalar in inner_scalars.items()})
        elif isinstance(value, list):
            arrays[name] = np.array([item or "" for item in value], dtype=np.str_)
        elif value is not None:
            scalars[name] = value
    return arrays, scalars


def _header(name: str) -> str:
    return "X-Condflow-" + "-".join(word.capitalize() for word in name.split("_"))


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
