"""How a question is written on the wire and how its answer is: the seam between the pipeline and the protocols."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response

from inference.loaded import Loaded
from service.codecs.media import JSON, NDJSON, answer_media, request_media
from service.operations.base import Operation, Reply
from service.parsing import parse
from service.rendering import render
from service.requests import Question, validate
from service.settings import Limits


@dataclass(frozen=True)
class BodyLimit:
    """The limit that holds for a body: its name, its bytes, and what to do instead."""

    name: str
    maximum: int
    hint: str

    @classmethod
    def json(cls, limits: Limits) -> BodyLimit:
        """Of JSON."""
        return cls("json_bytes", limits.json_bytes, "Send large arrays as application/x-npz.")

    @classmethod
    def binary(cls, limits: Limits) -> BodyLimit:
        """Of binary bodies."""
        return cls("binary_bytes", limits.binary_bytes, "Send fewer rows at a time.")


class Asked(Protocol):
    """A request as it was read."""

    @property
    def model(self) -> str:
        """Name of the model."""
        ...

    @property
    def version(self) -> int | str | None:
        """Version number, alias or digest."""
        ...

    @property
    def media(self) -> str:
        """What the answer will be written as, for its size to be estimated."""
        ...

    def question(self, loaded: Loaded) -> Question:
        """The fields as the operation takes them. Raises Problem, FieldError."""
        ...

    def render(self, loaded: Loaded, reply: Reply) -> Response:
        """The answer."""
        ...


class Exchange(Protocol):
    """One request and its answer. Made of the request's head alone, which it may refuse."""

    limit: BodyLimit
    streams: bool
    """Whether the answer is sent while it is computed: another deadline holds."""

    def read(self, body: bytes) -> Asked:
        """Read the body. Raises Problem."""
        ...


Dialect = Callable[[Request, Limits], Exchange]


class Fields:
    """A request whose body, with its query, holds the operation's own fields."""

    def __init__(self, fields: Question, media: str) -> None:
        self._fields, self.media = fields, media
        self.model, self.version = fields.model, fields.version

    def question(self, loaded: Loaded) -> Question:
        """The fields themselves."""
        return self._fields

    def render(self, loaded: Loaded, reply: Reply) -> Response:
        """The reply in the media type that was asked for."""
        return render(loaded, reply, self.media)


class FieldsExchange:
    """The service's own endpoints: JSON, npz and npy in, and what `Accept` likes best out."""

    def __init__(self, operation: Operation, request: Request, limits: Limits) -> None:
        self._operation, self._request, self._limits = operation, request, limits
        self._media = answer_media(request, operation.media)
        self.streams = self._media == NDJSON
        self._body_media = request_media(request)
        self.limit = BodyLimit.json(limits) if self._body_media == JSON else BodyLimit.binary(limits)

    def read(self, body: bytes) -> Fields:
        """Parse the body by its media type. Raises Problem."""
        operation = self._operation
        content = parse(
            self._request, self._body_media, body, operation.arrays, operation.main_input, self._limits.binary_bytes
        )
        return Fields(validate(operation.request, content), self._media)
