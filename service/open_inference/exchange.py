"""A request of the protocol as the pipeline takes it: tensors become the operation's fields, its answer tensors."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import orjson
from starlette.requests import Request
from starlette.responses import Response

from inference.loaded import Loaded
from model_store.manifest import Manifest
from service.codecs.media import JSON, NPZ, check_uncoded
from service.exchange import BodyLimit
from service.open_inference.metadata import TensorSpec, inputs, outputs
from service.open_inference.names import Name, check_offered
from service.open_inference.requests import Tensors, read_request
from service.open_inference.tensors import listed, raw
from service.operations.base import Reply, present
from service.operations.known import OPERATIONS
from service.problems import Problem, escaped, invalid
from service.rendering import split
from service.requests import Question, validate
from service.settings import Limits

OCTETS = "application/octet-stream"
HEAD_BYTES = "Inference-Header-Content-Length"
_COUNT = re.compile(r"[0-9]{1,18}")
_PARAMETERS = frozenset(("seed", "num_samples", "temperature", "shared_latent", "draws"))
_FLAGS = {"log_likelihood": "return_log_likelihood", "latent": "return_latent"}


class InferExchange:
    """POST /v2/models/{model}/infer.

    Args:
        name: of the model, with its operation.
        version: version number, alias or digest; None for the default.
        request: whose headers say what the body is.
        limits: of the service.
    """

    streams = False

    def __init__(self, name: Name, version: str | None, request: Request, limits: Limits) -> None:
        self._name, self._version, self._limits = name, version, limits
        _check_media(request)
        check_uncoded(request)
        self._head_bytes = _head_bytes(request)
        text = BodyLimit("json_bytes", limits.json_bytes, "Send large tensors as binary data.")
        self.limit = text if self._head_bytes is None else BodyLimit.binary(limits)

    def read(self, body: bytes) -> Inference:
        """Parse the JSON object and cut the tensors. Raises Problem."""
        return Inference(self._name, self._version, read_request(body, self._head_bytes, self._limits))


class Inference:
    """One request of a model: which fields its tensors are, and which tensors its answer shall have."""

    def __init__(self, name: Name, version: str | None, request: Tensors) -> None:
        self.name, self.model, self.version = name, name.model, version
        self._request = request
        self._parameters = dict(request.head.parameters or {})
        binary = self._parameters.pop("binary_data_output", False)
        if not isinstance(binary, bool):
            raise invalid("/parameters/binary_data_output", "expected true or false")
        self._binary = binary

    @property
    def media(self) -> str:
        """JSON if any output is, so that its text is counted."""
        asked = self._request.head.outputs
        binary = all(self._is_binary(output.name) for output in asked) if asked else self._binary
        return NPZ if binary else JSON

    def question(self, loaded: Loaded) -> Question:
        """The operation's fields; every tensor is one that the metadata shows. Raises Problem."""
        manifest = loaded.manifest
        check_offered(manifest, self.name)
        operation = OPERATIONS[self.name.operation]
        fields: dict[str, Any] = {"model": self.model, "version": self.version}
        for name, value in self._parameters.items():
            if name not in _PARAMETERS.intersection(operation.request.model_fields):
                raise invalid(f"/parameters/{escaped(name)}", f"no such parameter of {self.name}")
            fields[name] = value
        fields.update(self._inputs(manifest))
        for output in self._asked(manifest):
            flag = _FLAGS.get(output.name.partition(".")[0])
            if output.optional and flag is not None:
                fields[flag] = True
        return validate(operation.request, fields)

    def _inputs(self, manifest: Manifest) -> dict[str, Any]:
        specs = {spec.name: spec for spec in inputs(manifest, self.name.operation)}
        fields: dict[str, Any] = {}
        for name, (declared, value) in self._request.values.items():
            spec = specs.get(name)
            if spec is None:
                raise invalid(f"/inputs/{escaped(name)}", f"{self.name} has the inputs {', '.join(specs) or '(none)'}")
            if not spec.takes(declared.datatype, declared.shape):
                found = f"{declared.datatype} of shape {list(declared.shape)}"
                raise invalid(declared.pointer, f"expected {spec}, got {found}")
            outer, _, inner = name.partition(".")
            if inner:
                fields.setdefault(outer, {})[inner] = value
            else:
                fields["conditions" if (self.name.operation, name) == ("sample", "condition") else name] = value
        return fields

    def _asked(self, manifest: Manifest) -> list[TensorSpec]:
        """The outputs asked for by name, none where the request names none. Raises Problem."""
        specs = {spec.name: spec for spec in outputs(manifest, self.name.operation)}
        asked = [output.name for output in self._request.head.outputs or ()]
        unknown = next((name for name in asked if name not in specs), None)
        if unknown is not None:
            raise invalid(f"/outputs/{escaped(unknown)}", f"{self.name} has the outputs {', '.join(specs)}")
        return [specs[name] for name in asked]

    def _is_binary(self, name: str) -> bool:
        for output in self._request.head.outputs or ():
            if output.name == name and output.parameters is not None and output.parameters.binary_data is not None:
                return output.parameters.binary_data
        return self._binary

    def render(self, loaded: Loaded, reply: Reply) -> Response:
        """The tensors that were asked for, or all that the reply has; scalars are the answer's parameters."""
        arrays, scalars = split(reply.fields)
        specs = self._asked(loaded.manifest) or [
            spec for spec in outputs(loaded.manifest, self.name.operation) if spec.name in arrays or not spec.optional
        ]
        rows = next(iter(arrays.values())).shape[:1]
        entries: list[dict[str, Any]] = []
        pieces: list[bytes | memoryview] = []
        for spec in specs:
            array = arrays[spec.name] if spec.name in arrays else np.full(rows, np.nan)
            entry: dict[str, Any] = {"name": spec.name, "datatype": spec.datatype, "shape": array.shape}
            if self._is_binary(spec.name):
                piece = raw(array, spec.datatype)
                pieces.append(piece)
                entry["parameters"] = {"binary_data_size": len(piece)}
            else:
                entry["data"] = listed(array, spec.datatype)
            entries.append(entry)
        head = present(
            model_name=str(self.name),
            model_version=str(loaded.version),
            id=self._request.head.id,
            parameters={**scalars, "digest": loaded.digest},
            outputs=entries,
        )
        text = orjson.dumps(head, option=orjson.OPT_SERIALIZE_NUMPY)
        if not pieces:
            return Response(text, media_type=JSON)
        return Response(b"".join((text, *pieces)), media_type=OCTETS, headers={HEAD_BYTES: str(len(text))})


def _check_media(request: Request) -> None:
    """Raise Problem (415) for what a web page could send unasked. Clients may name no type; browsers say `Origin`."""
    value = request.headers.get("content-type", "").strip()
    media, _, parameters = value.partition(";")
    charset = parameters.strip().lower().replace('"', "")
    plain = media.strip().lower() == JSON and charset in ("", "charset=utf-8", "charset=utf8")
    unnamed = not value and "origin" not in request.headers
    if not (plain or unnamed or value.lower() == OCTETS):
        shown = f"`{value[:64]}`" if value else "nothing"
        raise Problem(
            415, "media-type", f"expected Content-Type {JSON} or {OCTETS}, got {shown}", header="Content-Type"
        )


def _head_bytes(request: Request) -> int | None:
    values = request.headers.getlist(HEAD_BYTES)
    if not values:
        return None
    if len(values) > 1 or not _COUNT.fullmatch(values[0]):
        raise Problem(400, "header", f"{HEAD_BYTES}: expected one whole number of bytes", header=HEAD_BYTES)
    return int(values[0])
