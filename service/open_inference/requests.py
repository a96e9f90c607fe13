"""An inference request: its JSON object, and the raw tensors that the binary tensor data extension puts behind it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    ValidationError,
    WithJsonSchema,
)
from pydantic_core import ErrorDetails

from inference.fields import described
from service.codecs.json import parse_object
from service.open_inference.tensors import Declared, read_json, read_raw
from service.problems import Problem, escaped, invalid, malformed, too_large
from service.settings import Limits

_MOST_TENSORS = 32
_EXPECTED = {
    "bool_type": "true or false",
    "dict_type": "an object",
    "greater_than_equal": "0 or more",
    "int_type": "an integer",
    "list_type": "a list",
    "model_type": "an object",
    "string_too_short": "at least one character",
    "string_type": "a string",
}
_Name = Annotated[StrictStr, Field(min_length=1, max_length=64)]
_Data = Annotated[
    Any, WithJsonSchema({"type": ["array", "null"], "description": "Flat in row-major order, or nested as the shape."})
]
_Scalar = StrictBool | StrictInt | StrictFloat | StrictStr


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class InputParameters(_Strict):
    """Of an input."""

    binary_data_size: Annotated[
        Annotated[StrictInt, Field(ge=0)] | None, Field(description="Bytes of this tensor behind the JSON object.")
    ] = None


class RequestInput(_Strict):
    """An input tensor."""

    name: _Name
    datatype: Annotated[StrictStr, Field(max_length=32, description="As the model's metadata says.")]
    shape: Annotated[list[StrictInt], Field(max_length=8)]
    data: _Data = None
    parameters: InputParameters | None = None


class OutputParameters(_Strict):
    """Of a requested output."""

    binary_data: Annotated[StrictBool | None, Field(description="Answer it as raw bytes behind the JSON object.")] = (
        None
    )


class RequestedOutput(_Strict):
    """An output to answer."""

    name: _Name
    parameters: OutputParameters | None = None


class InferenceRequest(_Strict):
    """Parameters are the scalar fields of the operation (`seed`, `num_samples`, ...) and `binary_data_output`."""

    id: Annotated[StrictStr, Field(max_length=256)] | None = None
    model_name: Annotated[
        Annotated[StrictStr, Field(max_length=256)] | None,
        Field(description="Not read, the path names the model; KServe's client repeats it here."),
    ] = None
    parameters: Annotated[dict[str, _Scalar], Field(max_length=32)] | None = None
    inputs: Annotated[list[RequestInput], Field(max_length=_MOST_TENSORS)] = []
    outputs: Annotated[list[RequestedOutput], Field(max_length=_MOST_TENSORS)] | None = None


class Tensors:
    """A request with the values of its inputs.

    Attributes:
        head: what the JSON object says.
        values: by input, what is declared of it and its array or list of strings, checked against each other.
    """

    def __init__(self, head: InferenceRequest, values: dict[str, tuple[Declared, Any]]) -> None:
        self.head = head
        self.values = values


def read_request(body: bytes, head_bytes: int | None, limits: Limits) -> Tensors:
    """Read a body whose first `head_bytes` are JSON (all of it where None). Raises Problem."""
    head_bytes = len(body) if head_bytes is None else head_bytes
    if head_bytes > len(body):
        detail = f"Inference-Header-Content-Length is {head_bytes}, the body has {len(body)} bytes"
        raise Problem(400, "tensor", detail, header="Inference-Header-Content-Length")
    if head_bytes > limits.json_bytes:
        raise too_large("json_bytes", limits.json_bytes, head_bytes, "Send large tensors as binary data.")
    head = _head(parse_object(body[:head_bytes] if head_bytes < len(body) else body))
    _once([tensor.name for tensor in head.inputs], "inputs")
    _once([tensor.name for tensor in head.outputs or ()], "outputs")
    view, cursor = memoryview(body), head_bytes
    values: dict[str, tuple[Declared, Any]] = {}
    for tensor in head.inputs:
        declared = Declared(tensor.name, tensor.datatype, tuple(tensor.shape))
        declared.check(limits.rows)
        size = tensor.parameters.binary_data_size if tensor.parameters is not None else None
        if (size is None) == (tensor.data is None):
            raise invalid(declared.pointer, "expected either `data` or the parameter `binary_data_size`")
        if size is None:
            values[tensor.name] = declared, read_json(declared, tensor.data)
            continue
        if size > len(body) - cursor:
            left = len(body) - cursor
            raise malformed(
                f"inputs/{tensor.name}: binary_data_size is {size}, {left} bytes are left", "tensor", declared.pointer
            )
        values[tensor.name] = declared, read_raw(declared, view[cursor : cursor + size])
        cursor += size
    if cursor != len(body):
        raise malformed(f"{len(body) - cursor} bytes follow the last binary tensor", "tensor")
    return Tensors(head, values)


def _head(content: dict[str, Any]) -> InferenceRequest:
    try:
        return InferenceRequest.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        path = first["loc"][:2] if first["loc"][0] == "parameters" else first["loc"]
        raise invalid("".join(f"/{escaped(str(part))}" for part in path), _said(path, first)) from None


def _said(path: tuple[int | str, ...], error: ErrorDetails) -> str:
    """What was expected and what was found, in the words of the service's other refusals."""
    known = {"extra_forbidden": "no such field", "missing": "this field is needed"}.get(error["type"])
    if known is not None:
        return known
    if len(path) == 2 and path[0] == "parameters":
        return f"expected a number, a string, true or false, got {described(error['input'])}"
    limits = error.get("ctx", {})
    if "max_length" in limits:
        counted = "characters" if isinstance(error["input"], str) else "entries"
        return f"expected at most {limits['max_length']} {counted}, got {len(error['input'])}"
    expected = _EXPECTED.get(error["type"], "another value")
    return f"expected {expected}, got {described(error['input'])}"


def _once(names: list[str], where: str) -> None:
    twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if twice is not None:
        raise malformed(f"{where}: {twice!r} appears twice", "tensor", f"/{where}/{escaped(twice)}")
