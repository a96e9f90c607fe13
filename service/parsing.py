"""A body and its query, in any media type, as one mapping of field names to values; and the pictures in it decoded."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from starlette.requests import Request

from model_store.signature import ArraySpec
from service.codecs.json import parse_object
from service.codecs.media import JSON, NPZ
from service.codecs.npy import read_npy
from service.codecs.npz import read_npz
from service.codecs.png import decode_png
from service.problems import Problem, escaped, invalid, malformed

_WHOLE = re.compile(r"-?[0-9]{1,40}")
_REAL = re.compile(r"[-+]?(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:[eE][-+]?[0-9]{1,3})?")
_WHOLES = ("num_samples", "seed", "draws")
_REALS = ("temperature",)
_FLAGS = ("shared_latent", "return_log_likelihood", "return_latent", "return_samples")
_LISTS = ("summary", "quantile_levels")


def parse(
    request: Request, media: str, body: bytes, arrays: re.Pattern[str], main: str, max_bytes: int
) -> dict[str, Any]:
    """The fields of a request.

    Args:
        request: for its query parameters, which carry scalars and names beside binary bodies.
        media: of the body.
        body: all of it.
        arrays: names of the fields that are arrays.
        main: the field that an npy body is.
        max_bytes: what npz arrays may inflate to.

    Raises:
        Problem: 400 for what is not of the media type, 422 for fields that are not of this request.
    """
    if media == JSON:
        if request.scope["query_string"] and request.query_params:
            name = next(iter(request.query_params))
            raise invalid(
                f"/{escaped(name)}", "query parameters go with binary bodies; put this field into the JSON object"
            )
        return parse_object(body)
    content = _query(request, arrays)
    if media == NPZ:
        return {**content, **_nest(read_npz(body, arrays, max_bytes))}
    return {**content, main: read_npy(body, main)}


def _query(request: Request, arrays: re.Pattern[str]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for name, text in request.query_params.multi_items():
        if name in content:
            raise malformed(f"query parameter {name[:64]!r} appears twice", pointer=f"/{escaped(name)}")
        if arrays.fullmatch(name):
            raise invalid(f"/{name}", "expected an array in the body, not a query parameter")
        content[name] = _scalar(name, text)
    return content


def _scalar(name: str, text: str) -> Any:
    """Text as the field's type where it reads so; else as it is, for the refusal to quote its type."""
    if name in _LISTS:
        return [float(item) if _REAL.fullmatch(item) else item for item in text.split(",")]
    if name in _WHOLES and _WHOLE.fullmatch(text):
        return int(text)
    if name in _REALS and _REAL.fullmatch(text):
        return float(text)
    if name in _FLAGS and text in ("true", "false"):
        return text == "true"
    return text


def _nest(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """`latent.z` becomes `z` of `latent`."""
    content: dict[str, Any] = {}
    for name, array in arrays.items():
        outer, _, inner = name.partition(".")
        if inner:
            content.setdefault(outer, {})[inner] = array
        else:
            content[name] = array
    return content


def decode_pictures(value: Any, spec: ArraySpec, pointer: str, max_count: int) -> Any:
    """Base64 PNGs as integer arrays, (C, H, W) for one and (n, C, H, W) for a list; other values as they are."""
    if isinstance(value, str):
        return decode_png(value, spec, pointer)
    if not isinstance(value, list) or not value or not isinstance(value[0], str):
        return value
    if len(value) > max_count:
        raise Problem(413, "too-large", f"{len(value)} pictures; at most {max_count} are welcome", pointer=pointer)
    pictures = []
    for place, item in enumerate(value):
        if not isinstance(item, str):
            raise invalid(f"{pointer}/{place}", "expected a base64 PNG, as the ones before it")
        pictures.append(decode_png(item, spec, f"{pointer}/{place}"))
    return np.stack(pictures)
