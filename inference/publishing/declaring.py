"""Inputs and outputs of a foreign graph: compared with the signature, then declared as the signature has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from inference.errors import SignatureMismatch
from inference.graph_checks import element_type
from inference.onnx_reader import FLOAT, Graph, Value
from inference.protobuf import encoded
from inference.shapes import input_shape, output_shape
from model_store.signature import Operation, Signature

TYPES = {1: "float32", 6: "int32", 7: "int64", 9: "bool", 10: "float16", 11: "float64", 16: "bfloat16"}


def declare(graph: Graph, operation: Operation, signature: Signature, path: str) -> list[bytes]:
    """Encoded inputs and outputs, in the signature's order, if the graph says nothing else.

    A graph may say less: exporters lose shapes. That the outputs have these shapes is seen when it runs.

    Raises:
        SignatureMismatch: other names, types or shapes, or a fixed number of rows; `path` names the graph.
    """
    return [
        *_declared(graph.inputs, "input", operation, signature, path),
        *_declared(graph.outputs, "output", operation, signature, path),
    ]


def _declared(
    values: Sequence[Value], kind: Literal["input", "output"], operation: Operation, signature: Signature, path: str
) -> list[bytes]:
    names = signature.inputs(operation) if kind == "input" else signature.outputs(operation)
    found = {value.name: value for value in values}
    if len(found) != len(values) or set(found) != set(names):
        raise SignatureMismatch(f"{kind}s are {[value.name for value in values]}, expected {list(names)}", path)
    declared = []
    for name in names:
        if kind == "input":
            row, element = input_shape(signature, name), element_type(signature, name)
        else:
            row, element = output_shape(signature, operation, name), FLOAT
        _check_value(found[name], f"{kind} {name!r}", row, element, path)
        declared.append(encoded(11 if kind == "input" else 12, _value(name, row, element)))
    return declared


def _check_value(value: Value, what: str, row: tuple[int, ...], element: int, path: str) -> None:
    if value.element_type != element:
        known = TYPES.get(value.element_type, f"element type {value.element_type}")
        raise SignatureMismatch(f"{what} is {known}, expected {TYPES[element]}", path)
    if value.shape is None:
        return
    shown = tuple("any" if size is None else size for size in value.shape)
    if len(value.shape) != 1 + len(row) or any(
        size not in (None, wanted) for size, wanted in zip(value.shape[1:], row, strict=True)
    ):
        raise SignatureMismatch(f"{what} has shape {shown}, expected {('rows', *row)}", path)
    if value.shape[0] is not None:
        raise SignatureMismatch(
            f"{what} has shape {shown}, expected any number of rows: export it with a dynamic first axis", path
        )


def _value(name: str, row: tuple[int, ...], element: int) -> bytes:
    """A ValueInfoProto whose first axis is dynamic."""
    axes = encoded(1, encoded(2, "rows")) + b"".join(encoded(1, encoded(1, size)) for size in row)
    return encoded(1, name) + encoded(2, encoded(1, encoded(1, element) + encoded(2, axes)))
