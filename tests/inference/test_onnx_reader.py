"""The wire reader agrees with the onnx package on good models and never breaks on bad bytes."""

from __future__ import annotations

import contextlib

import onnx
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.onnx_reader import Graph, read_graph
from inference.protobuf import GraphFormatError
from tests.inference import handmade

VERSIONS = {name: getattr(handmade, name)() for name in ("labels", "padded_labels", "images", "image_condition")}
MODELS = [(f"{name}-{op}", graph) for name, version in VERSIONS.items() for op, graph in version.graphs.items()]


def by_package(model: onnx.ModelProto) -> tuple[object, ...]:
    """What the reader reads, taken from the onnx package's view of the model."""
    constants = [a.t for node in model.graph.node for a in node.attribute if a.HasField("t")]
    return (
        len(model.graph.node),
        {(node.domain, node.op_type) for node in model.graph.node},
        [
            (
                tensor.name,
                tuple(tensor.dims),
                tensor.data_type,
                {entry.key: entry.value for entry in tensor.external_data}
                if tensor.data_location == onnx.TensorProto.EXTERNAL
                else None,
            )
            for tensor in (*model.graph.initializer, *constants)
        ],
        [
            (
                value.name,
                value.type.tensor_type.elem_type,
                tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in value.type.tensor_type.shape.dim),
            )
            for value in (*model.graph.input, *model.graph.output)
        ],
    )


def by_reader(graph: Graph) -> tuple[object, ...]:
    tensors = (*graph.initializers, *graph.constants)
    return (
        graph.nodes,
        graph.operators,
        [(t.name, t.dims, t.data_type, t.external) for t in tensors],
        [(v.name, v.element_type, v.shape or ()) for v in (*graph.inputs, *graph.outputs)],
    )


@pytest.mark.parametrize(("name", "model"), MODELS, ids=[name for name, _ in MODELS])
def test_agrees_with_the_onnx_package(name: str, model: onnx.ModelProto) -> None:
    read = read_graph(model.SerializeToString())
    assert read.opsets == {""}
    assert not read.forbidden
    assert by_reader(read) == by_package(model)


GOOD = VERSIONS["labels"].graphs["score"].SerializeToString()


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_mutated_bytes_are_refused_or_mean_the_same_to_protobuf(data: st.DataObject) -> None:
    """Two readers that see different models in the same bytes would make every check here worthless."""
    content = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        match data.draw(st.sampled_from(["flip", "cut", "insert", "repeat"])):
            case "flip":
                content[place] = data.draw(st.integers(0, 255))
            case "cut":
                del content[place : place + data.draw(st.integers(1, 20))]
            case "insert":
                content[place:place] = data.draw(st.binary(min_size=1, max_size=12))
            case "repeat":
                content[place:place] = content[place : place + data.draw(st.integers(1, 30))]
        if not content:
            return
    try:
        read = read_graph(bytes(content))
        model = onnx.load_from_string(bytes(content))
    except (GraphFormatError, DecodeError):
        return
    if not read.forbidden:
        assert by_reader(read) == by_package(model)


@settings(max_examples=200, deadline=None)
@given(content=st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    with contextlib.suppress(GraphFormatError):
        read_graph(content)


def field(number: int, payload: bytes) -> bytes:
    assert len(payload) < 128
    return bytes([number << 3 | 2, len(payload)]) + payload


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no graph"),
        (b"\x08\x0a", "no graph"),
        (field(7, b"") + field(7, b""), "field 7 appears twice"),
        (b"\x38\x01", "field 7 has wire type 0"),
        (b"\x3a\xff\xff\xff\xff\x0f", "past the end"),
        (b"\x3a", "past the end"),
        (b"\x3b", "wire type 3"),
        (b"\x02\x00", "field number 0"),
        (b"\x08" + b"\xff" * 10, "longer than 64 bits"),
        (b"\x08" + b"\x80" * 9 + b"\x7f", "longer than 64 bits"),
        (field(7, field(5, field(8, b"w") + field(8, b"v"))), "field 8 appears twice"),
        (field(7, field(5, field(8, b"\xff"))), "not UTF-8"),
        (field(7, field(5, b"\x70\x01")), "neither clearly inline nor clearly external"),
        (field(7, field(5, field(13, field(1, b"offset")))), "neither clearly inline nor clearly external"),
        (field(7, field(5, b"\x70\x02")), "data location 2"),
        (field(7, field(5, field(13, field(1, b"a")) + field(13, field(1, b"a")) + b"\x70\x01")), "'a' twice"),
        (field(7, field(11, field(1, b"x") + field(2, field(4, b"")))), "is not a tensor"),
    ],
)
def test_ambiguous_bytes_are_refused(content: bytes, message: str) -> None:
    with pytest.raises(GraphFormatError, match=message):
        read_graph(content)


def test_packed_and_plain_sizes_are_the_same() -> None:
    packed = field(7, field(5, field(1, b"\x02\x80\x01")))
    plain = field(7, field(5, b"\x08\x02\x08\x80\x01"))
    assert read_graph(packed).initializers[0].dims == read_graph(plain).initializers[0].dims == (2, 128)
