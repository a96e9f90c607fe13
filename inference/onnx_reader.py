"""A strict reader of the few parts of an ONNX model that decide whether it may be loaded.

Read without the `onnx` package, which the service does without.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from inference.protobuf import BYTES, VARINT, GraphFormatError, fields, packed, single, text

FLOAT, INT64 = 1, 7
EXTERNAL = 1


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
    for number, value in fields(memoryview(content), {7: BYTES, 8: BYTES, 20: BYTES, 25: BYTES}, once={7}):
        if number == 7:
            found = True
            _graph(value, graph)
        elif number == 8:
            graph.opsets.add(text(single(value, {1: BYTES, 2: VARINT}).get(1, b"")))
        else:
            graph.forbidden.add("training information" if number == 20 else "local functions")
    if not found:
        raise GraphFormatError("there is no graph")
    return graph


def _graph(content: memoryview, graph: Graph) -> None:
    kinds = {1: BYTES, 5: BYTES, 11: BYTES, 12: BYTES, 15: BYTES}
    for number, value in fields(content, kinds):
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
    for number, value in fields(content, {4: BYTES, 5: BYTES, 7: BYTES}, once={4, 7}):
        if number == 5:
            _attribute(value, graph)
        else:
            texts[number] = text(value)
    graph.operators.add((texts[7], texts[4]))


def _attribute(content: memoryview, graph: Graph) -> None:
    kinds = {5: BYTES, 6: BYTES, 10: BYTES, 11: BYTES, 22: BYTES, 23: BYTES}
    for number, value in fields(content, kinds, once={5, 6, 22}):
        if number in (5, 10):
            graph.constants.append(_tensor(value))
        else:
            graph.forbidden.add("subgraphs (control flow)" if number in (6, 11) else "sparse tensors")


def _tensor(content: memoryview) -> Initializer:
    dims: list[int] = []
    external: dict[str, str] = {}
    texts, scalars, inline = {8: ""}, {2: 0, 14: 0}, False
    kinds = {2: VARINT, 8: BYTES, 9: BYTES, 13: BYTES, 14: VARINT}
    for number, value in fields(content, kinds, once={2, 8, 9, 14}, either={1}):
        if number == 1:
            dims.extend([value] if isinstance(value, int) else packed(value))
        elif number == 8:
            texts[8] = text(value)
        elif number == 9:
            inline = True
        elif number == 13:
            entry = single(value, {1: BYTES, 2: BYTES})
            key = text(entry.get(1, b""))
            if key in external:
                raise GraphFormatError(f"external data names {key!r} twice")
            external[key] = text(entry.get(2, b""))
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
    for number, value in fields(content, {1: BYTES, 2: BYTES}, once={1, 2}):
        if number == 1:
            name = text(value)
            continue
        for kind, inner in fields(value, dict.fromkeys((1, 4, 5, 7, 8, 9), BYTES), once={1}):
            if kind != 1:
                raise GraphFormatError(f"{name!r} is not a tensor")
            for place, part in fields(inner, {1: VARINT, 2: BYTES}, once={1, 2}):
                if place == 1:
                    element = part
                else:
                    shape = tuple(_axis(axis) for _, axis in fields(part, {1: BYTES}))
    return Value(name, element, shape)


def _axis(content: memoryview) -> int | None:
    entry = single(content, {1: VARINT, 2: BYTES})
    if len(entry) > 1:
        raise GraphFormatError("an axis has a size and a name")
    size: int | None = entry.get(1)
    return size
