"""JSON bodies: one object, no duplicate names, no NaN literals; answers with null for what JSON cannot say."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from math import isfinite
from typing import Any

import numpy as np
import orjson

from service.problems import escaped, invalid, malformed

_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_NO_BRACKET = re.compile(rb"[^][{}]+")
_AS_IT_IS = (str, int)
_OPTIONS = orjson.OPT_SERIALIZE_NUMPY


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object of a body. Raises Problem.

    >>> parse_object(b'{"x": [1, 2]}')
    {'x': [1, 2]}
    """
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        number = _NUMBER.match(error.doc, error.pos)
        if number:
            _refuse_past_float64(error.doc[: error.pos].encode(), number[0])
        raise malformed(f"not JSON: {error}", "json") from None
    if not isinstance(content, dict):
        raise malformed("expected one JSON object", "json")
    members = _members(content)
    if body.count(b":") != members and _STRING.sub(b"", body).count(b":") != members:  # colons stand in strings, too
        _refuse_duplicates(body)
    return content


def _members(value: dict[str, Any] | list[Any], depth: int = 4) -> int:
    """Members of an object and of those in it, also of those in lists of objects, down to `depth` levels."""
    if isinstance(value, list) and not (value and isinstance(value[0], dict)):
        return 0
    count = len(value) if isinstance(value, dict) else 0
    if depth:
        for item in value.values() if isinstance(value, dict) else value:
            if isinstance(item, (dict, list)):
                count += _members(item, depth - 1)
    return count


def _refuse_past_float64(before: bytes, number: str) -> None:
    """Refuse a number that float64 cannot hold, and name its field; does nothing about other numbers.

    The text `before` it, closed where it breaks off, is read again: the number's place is the last one of that.
    """
    if isfinite(float(number)):
        return
    opened = bytearray()
    for bracket in _NO_BRACKET.sub(b"", _STRING.sub(b"", before)):
        if bracket in b"[{":
            opened.append(bracket + 2)  # its closing partner, in ASCII
        else:
            opened.pop()
    try:
        value = orjson.loads(before + b"null" + opened[::-1])
    except orjson.JSONDecodeError:
        return  # there should be no number here
    pointer = ""
    while isinstance(value, (dict, list)) and value:
        place = next(reversed(value)) if isinstance(value, dict) else len(value) - 1
        pointer, value = f"{pointer}/{escaped(str(place))}", value[place]
    if value is not None:
        return  # a name that appears twice stands at its first place
    shown = number if len(number) <= 32 else f"{number[:16]}... of {len(number)} characters"
    raise invalid(pointer, f"expected a number within the range of float64 (1.8e308), got {shown}")


def _refuse_duplicates(body: bytes) -> None:
    """The exact and slow answer, asked only where the count of colons says that names are missing."""
    try:
        path = _path_of_repeated(json.loads(body, object_pairs_hook=_Members, parse_int=len, parse_float=len))
    except (RecursionError, ValueError):
        raise malformed("not JSON: nested too deeply", "json") from None
    if path:
        pointer = "".join(f"/{escaped(name)}" for name in reversed(path))
        raise malformed(f"the name {path[0][:64]!r} appears twice in one object", "json-duplicate", pointer)


class _Members(tuple[tuple[str, Any], ...]):
    """An object with every name that it has, as often as it has it."""


def _path_of_repeated(value: Any) -> list[str]:
    """From the first name that an object has twice outwards; empty where there is none."""
    named, seen = isinstance(value, _Members), set()
    for name, item in value if named else enumerate(value):
        if named and name in seen:
            return [str(name)]
        if named:
            seen.add(name)
        if isinstance(item, (list, _Members)) and (path := _path_of_repeated(item)):
            return [*path, str(name)]
    return []


def render_object(content: Mapping[str, Any]) -> tuple[bytes, bool]:
    """The JSON text and whether there may be values in it that are not finite: null, and listed in `nonfinite`."""
    plain = {name: value if type(value) in _AS_IT_IS else _plain(value) for name, value in content.items()}
    text = orjson.dumps(plain, option=_OPTIONS)
    if b"null" not in text:
        return text, False
    missing = [entry for name, value in content.items() for entry in _nonfinite(name, value)]
    return (orjson.dumps({**plain, "nonfinite": missing}, option=_OPTIONS) if missing else text), True


def count_nonfinite(array: np.ndarray) -> int:
    """How many of its values are NaN or infinite."""
    return array.size - int(np.count_nonzero(np.isfinite(array))) if array.dtype.kind == "f" else 0


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        # orjson reads C-contiguous native arrays only; empty trailing axes keep their shape as lists.
        if value.size == 0 or value.dtype.kind == "U":
            return value.tolist()
        return value if value.flags.c_contiguous else np.ascontiguousarray(value)
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return value


def _nonfinite(name: str, value: Any) -> list[dict[str, Any]]:
    if isinstance(value, Mapping):
        return [entry for key, item in value.items() for entry in _nonfinite(f"{name}/{key}", item)]
    if isinstance(value, float):
        value = np.asarray(value)
    if not isinstance(value, np.ndarray) or not count_nonfinite(value):
        return []
    return [
        {"field": name, "index": index.tolist(), "kind": _kind(float(value[tuple(index)]))}
        for index in np.argwhere(~np.isfinite(value))
    ]


def _kind(value: float) -> str:
    return "nan" if value != value else ("inf" if value > 0 else "-inf")
