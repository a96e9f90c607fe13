"""What an operation is, and what it plans and replies."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import isfinite, prod
from typing import Any, Protocol

import numpy as np

from inference.fields import shape_of
from inference.loaded import Loaded
from inference.work import Question
from model_store.signature import ArraySpec, ImageCondition
from service.codecs.json import count_nonfinite
from service.parsing import decode_pictures
from service.problems import too_large
from service.requests import Question as Asked
from service.settings import Limits

_FLOAT_TEXT, _INTEGER_TEXT = 13, 5


@dataclass(frozen=True)
class Plan:
    """A checked question and its cost. `rows` are counted in the metrics, `engine_rows` in the queue."""

    question: Question[Any]
    rows: int
    engine_rows: int


@dataclass(frozen=True)
class StreamPiece:
    """Some rows of an answer that streams: a question whose answer is the contents of lines, and its cost."""

    question: Question[list[Mapping[str, Any]]]
    engine_rows: int


@dataclass(frozen=True)
class StreamPlan:
    """A checked question whose answer streams: the first line, pieces in order, and the last line when all are done."""

    opening: Mapping[str, Any]
    pieces: Iterator[StreamPiece]
    closing: Callable[[], Mapping[str, Any]]
    rows: int
    engine_rows: int


@dataclass
class Reply:
    """An answer's content: JSON fields in order, arrays among them.

    `main` names the array that npy carries (`latent.z` for a nested one); `pictures` are (rows, columns, C, H, W).
    `finite`: whoever has rendered it has seen that all its values are.
    """

    fields: Mapping[str, Any]
    main: str
    pictures: np.ndarray | None = None
    levels: int = 256
    finite: bool = False

    @property
    def nonfinite(self) -> int:
        """How many of its values are NaN or infinite."""
        return 0 if self.finite else nonfinite_values(self.fields)


class Operation(Protocol):
    """One of the POST endpoints."""

    name: str
    arrays: re.Pattern[str]
    main_input: str
    media: tuple[str, ...]

    @property
    def request(self) -> type[Asked]:
        """The fields it may be asked with."""
        ...

    def plan(self, loaded: Loaded, asked: Any, limits: Limits, media: str) -> Plan | StreamPlan:
        """Check the request against the version and the limits, before memory is taken. Streams are for NDJSON alone.

        Raises Problem, FieldError, CannotAnswer.
        """
        ...

    def reply(self, loaded: Loaded, asked: Any, answer: Any) -> Reply:
        """Name the parts of the answer."""
        ...


def nonfinite_values(fields: Mapping[str, Any]) -> int:
    """Values of the answer that are NaN or infinite."""
    count = 0
    for value in fields.values():
        if isinstance(value, np.ndarray):
            count += count_nonfinite(value)
        elif isinstance(value, float):
            count += not isfinite(value)
        elif isinstance(value, dict):
            count += nonfinite_values(value)
    return count


def read_x(loaded: Loaded, value: Any, limits: Limits) -> tuple[Any, int]:
    """x with its pictures decoded, and how many rows it has. Raises Problem past the limit."""
    spec = loaded.signature.data
    many = isinstance(value, (list, np.ndarray)) and len(shape_of(value, "/x")) > len(spec.shape)
    if isinstance(value, list) and value and isinstance(value[0], str):
        many = True
    rows = len(value) if many else 1
    if rows > limits.rows:
        raise too_large("rows", limits.rows, rows, "Send them in several requests.", "/x")
    return decode_pictures(value, spec, "/x", limits.rows), rows


def read_condition(loaded: Loaded, value: Any, pointer: str, limits: Limits) -> Any:
    """A condition with its pictures decoded."""
    spec = loaded.signature.condition
    return decode_pictures(value, spec.array, pointer, limits.rows) if isinstance(spec, ImageCondition) else value


def check_draws(loaded: Loaded, asked: int | None, limits: Limits) -> int:
    """Draws per row as they will be. Raises Problem past the limit."""
    if asked is not None and asked > limits.draws:
        raise too_large("draws", limits.draws, asked, pointer="/draws")
    if loaded.signature.exact:
        return 1
    return loaded.default_draws if asked is None else asked


def check_cost(engine_rows: int, limits: Limits, pointer: str) -> int:
    """The cost itself. Raises Problem past the limit, with the pointer of the field that asks for so many rows."""
    if engine_rows > limits.engine_rows:
        raise too_large("engine_rows", limits.engine_rows, engine_rows, "Send fewer rows or draws at a time.", pointer)
    return engine_rows


def check_answer(rows: int, values: int, integer_values: int, limits: Limits, media: str, pointer: str) -> None:
    """Refuse an answer that would be too large: `values` floats and `integer_values` integers for each row.

    `pointer` is of the field that asks for so many rows.
    """
    if media == "application/json":
        size = rows * (_FLOAT_TEXT * values + _INTEGER_TEXT * integer_values)
        if size > limits.json_answer_bytes:
            hint = "Ask for a binary answer: Accept: application/x-npz, or under /v2 binary outputs."
            raise too_large("json_answer_bytes", limits.json_answer_bytes, size, hint, pointer)
    size = rows * (4 * values + integer_values)
    if size > limits.answer_bytes:
        raise too_large("answer_bytes", limits.answer_bytes, size, "Ask for fewer rows at a time.", pointer)


def sizes(spec: ArraySpec) -> tuple[int, int]:
    """(float values, integer values) of one row of x."""
    return (0, spec.size) if spec.is_integer else (spec.size, 0)


def latent_size(loaded: Loaded) -> int:
    """Values of one row of all latent parts."""
    return sum(prod(part.shape) for part in loaded.signature.latent)


def flags(array: np.ndarray | None) -> np.ndarray | bool | None:
    """Flags as an answer says them: an array, or the one that there is."""
    return array if array is None or array.ndim else bool(array)


def present(**fields: Any) -> dict[str, Any]:
    """The fields that are not None, in order."""
    return {name: value for name, value in fields.items() if value is not None}
