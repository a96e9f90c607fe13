"""A strict reader of the few parts of an ONNX model that decide whether it may be loaded.

The protobuf wire format (tag = field number * 8 + wire type), read without the `onnx` package, which the service does
without. Stricter than protobuf, because ONNX Runtime reads the same bytes again: a known field of another wire type,
a second copy of a field that is to be there once (protobuf would merge or override), groups, overlong varints and
lengths past the end are all refused, so that both readers see one model.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
FLOAT, INT64 = 1, 7
EXTERNAL = 1
_LARGEST_NUMBER = 2**31 - 1  # protobuf would cut larger ones, or make them negative


class GraphFormatError(ValueError):
    """The bytes are not a well-formed ONNX model of the restricted kind."""


@dataclass
class Initializer:
    """A tensor of the graph; `external` holds the entries of its external data, None if it is inline."""

    name: str
    dims: tuple[int, ...]
    data_type: int
    external: dict[str, str] | None


@dataclass
class Value:
    """A graph input or output: element type, and per axis a size or None where it is dynamic; None: no shape."""

    name: str
    element_type: int
    shape: tuple[int | None, ...] | None


@dataclass
class Graph:
    """What is read of a model. `constants` are tensors in attributes, `forbidden` names parts that no flow needs."""

    opsets: set[str] = field(default_factory=set)
    operators: set[tuple[str, str]] = field(default_factory=set)
    nodes: int = 0
    initializers: list[Initializer] = field(default_factory=list)
    constants: list[Initializer] = field(default_factory=list)
    inputs: list[Value] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)
    forbidden: set[str] = field(default_factory=set)


def read_graph(content: bytes) -> Graph:
    """Read a ModelProto.

    Raises:
        GraphFormatError: malformed or ambiguous bytes.
    """
    graph = Graph()
    found = False
    for number, value in _fields(memoryview(content), {7: BYTES, 8: BYTES, 20: BYTES, 25: BYTES}, once={7}):
        if number == 7:
            found = True
            _graph(value, graph)
        elif number == 8:
            graph.opsets.add(_text(_single(value, {1: BYTES, 2: VARINT}).get(1, b"")))
        else:
            graph.forbidden.add("training information" if number == 20 else "local functions")
    if not found:
        raise GraphFormatError("there is no graph")
    return graph


def _graph(content: memoryview, graph: Graph) -> None:
    kinds = {1: BYTES, 5: BYTES, 11: BYTES, 12: BYTES, 15: BYTES}
    for number, value in _fields(content, kinds):
        match number:
            case 1:
                _node(value, graph)
            case 5:
                graph.initializers.append(_tensor(value))
            case 11:
                graph.inputs.append(_value(value))
            case 12:
                graph.outputs.append(_value(value))
            case 15:
                graph.forbidden.add("sparse initializers")


def _node(content: memoryview, graph: Graph) -> None:
    graph.nodes += 1
    texts = {4: "", 7: ""}
    for number, value in _fields(content, {4: BYTES, 5: BYTES, 7: BYTES}, once={4, 7}):
        if number == 5:
            _attribute(value, graph)
        else:
            texts[number] = _text(value)
    graph.operators.add((texts[7], texts[4]))


def _attribute(content: memoryview, graph: Graph) -> None:
    kinds = {5: BYTES, 6: BYTES, 10: BYTES, 11: BYTES, 22: BYTES, 23: BYTES}
    for number, value in _fields(content, kinds, once={5, 6, 22}):
        if number in (5, 10):
            graph.constants.append(_tensor(value))
        else:
            graph.forbidden.add("subgraphs (control flow)" if number in (6, 11) else "sparse tensors")


def _tensor(content: memoryview) -> Initializer:
    dims: list[int] = []
    external: dict[str, str] = {}
    texts, scalars, inline = {8: ""}, {2: 0, 14: 0}, False
    kinds = {2: VARINT, 8: BYTES, 9: BYTES, 13: BYTES, 14: VARINT}
    for number, value in _fields(content, kinds, once={2, 8, 9, 14}, either={1}):
        if number == 1:
            dims.extend([value] if isinstance(value, int) else _packed(value))
        elif number == 8:
            texts[8] = _text(value)
        elif number == 9:
            inline = True
        elif number == 13:
            entry = _single(value, {1: BYTES, 2: BYTES})
            key = _text(entry.get(1, b""))
            if key in external:
                raise GraphFormatError(f"external data names {key!r} twice")
            external[key] = _text(entry.get(2, b""))
        else:
            scalars[number] = value
    if scalars[14] not in (0, EXTERNAL):
        raise GraphFormatError(f"tensor {texts[8]!r} has data location {scalars[14]}")
    is_external = scalars[14] == EXTERNAL
    if bool(external) != is_external or (is_external and inline):
        raise GraphFormatError(f"tensor {texts[8]!r} is neither clearly inline nor clearly external")
    return Initializer(texts[8], tuple(dims), scalars[2], external if is_external else None)


def _value(content: memoryview) -> Value:
    name, element, shape = "", 0, None
    for number, value in _fields(content, {1: BYTES, 2: BYTES}, once={1, 2}):
        if number == 1:
            name = _text(value)
            continue
        for kind, inner in _fields(value, dict.fromkeys((1, 4, 5, 7, 8, 9), BYTES), once={1}):
            if kind != 1:
                raise GraphFormatError(f"{name!r} is not a tensor")
            for place, part in _fields(inner, {1: VARINT, 2: BYTES}, once={1, 2}):
                if place == 1:
                    element = part
                else:
                    shape = tuple(_axis(axis) for _, axis in _fields(part, {1: BYTES}))
    return Value(name, element, shape)


def _axis(content: memoryview) -> int | None:
    entry = _single(content, {1: VARINT, 2: BYTES})
    if len(entry) > 1:
        raise GraphFormatError("an axis has a size and a name")
    size: int | None = entry.get(1)
    return size


def _single(content: memoryview, kinds: dict[int, int]) -> dict[int, Any]:
    return dict(_fields(content, kinds, once=set(kinds)))


def _fields(
    content: memoryview, kinds: dict[int, int], once: set[int] | None = None, either: set[int] | None = None
) -> Iterator[tuple[int, Any]]:
    """The known fields of a message in order: integers, or views of their bytes; unknown ones are skipped.

    `either` fields may be varints or (packed) bytes.
    """
    seen: set[int] = set()
    place, end = 0, len(content)
    while place < end:
        tag, place = _varint(content, place)
        number, wire = tag >> 3, tag & 7
        if number == 0:
            raise GraphFormatError("field number 0")
        value: Any
        if wire == VARINT:
            value, place = _varint(content, place)
        elif wire in (FIXED64, FIXED32, BYTES):
            length = 8 if wire == FIXED64 else 4
            if wire == BYTES:
                length, place = _varint(content, place)
            if length > end - place:
                raise GraphFormatError(f"field {number} runs past the end")
            value = content[place : place + length]
            place += length
        else:
            raise GraphFormatError(f"wire type {wire}")
        if wire == VARINT and value > _LARGEST_NUMBER and (number in kinds or number in (either or ())):
            raise GraphFormatError(f"field {number} is {value}, more than an int32")
        if number in (either or ()) and wire in (VARINT, BYTES):
            yield number, value
        elif number in kinds:
            if wire != kinds[number]:
                raise GraphFormatError(f"field {number} has wire type {wire}, expected {kinds[number]}")
            if number in (once or ()) and number in seen:
                raise GraphFormatError(f"field {number} appears twice")
            seen.add(number)
            yield number, value
        elif number in (either or ()):
            raise GraphFormatError(f"field {number} has wire type {wire}")


def _varint(content: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(content):
            raise GraphFormatError("a number runs past the end")
        byte = content[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >= 1 << 64:
                break
            return value, place
    raise GraphFormatError("a number is longer than 64 bits")


def _packed(content: memoryview) -> Iterator[int]:
    place = 0
    while place < len(content):
        value, place = _varint(content, place)
        if value > _LARGEST_NUMBER:
            raise GraphFormatError(f"a size is {value}, more than an int32")
        yield value


def _text(content: memoryview | bytes) -> str:
    try:
        return bytes(content).decode("utf-8")
    except UnicodeDecodeError as error:
        raise GraphFormatError(f"a name is not UTF-8: {error}") from None
