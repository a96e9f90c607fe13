"""Whether one ONNX graph may be loaded, and which tensors of the weights file it takes."""

from __future__ import annotations

import numpy as np

from inference.errors import (
    ForeignExternalData,
    ForeignOperator,
    MalformedGraph,
    SignatureMismatch,
    WrongDtype,
    WrongKey,
    WrongShape,
)
from inference.onnx_reader import FLOAT, INT64, Graph, Initializer, Value, read_graph
from inference.protobuf import GraphFormatError
from inference.shapes import input_shape, output_shape
from inference.weights import Tensors
from model_store.signature import LabelCondition, Operation, Signature

WEIGHTS = "weights.safetensors"
INLINE_BYTES = 1024
"""Of a constant that stays in its graph; larger ones stand in the weights file, whoever writes it."""
LARGEST_GRAPH = 16 << 20
MOST_NODES = 50_000
DOMAINS = frozenset({"", "ai.onnx"})
RANDOM = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)


def check_graph(
    content: bytes, path: str, operation: Operation, signature: Signature, weights: Tensors
) -> dict[str, np.ndarray]:
    """The tensors that the graph takes from the weights file, by the graph's names.

    Raises:
        MalformedGraph, ForeignOperator, ForeignExternalData, WrongKey, WrongShape, WrongDtype, SignatureMismatch.
    """
    if len(content) > LARGEST_GRAPH:
        raise MalformedGraph(f"{len(content)} bytes, at most {LARGEST_GRAPH} are allowed", path)
    try:
        graph = read_graph(content)
    except GraphFormatError as error:
        raise MalformedGraph(str(error), path) from None
    check_operators(graph, path)
    _check_values(graph, path, operation, signature)
    for constant in graph.constants:
        if constant.external is not None:
            raise ForeignExternalData("a constant's data lie outside the graph", path)
    taken: dict[str, np.ndarray] = {}
    for initializer in graph.initializers:
        if initializer.name in taken:
            raise MalformedGraph(f"initializer {initializer.name!r} appears twice", path)
        if initializer.external is not None:
            taken[initializer.name] = _external(initializer, initializer.external, weights, path)
    return taken


def check_operators(graph: Graph, path: str) -> None:
    """Standard operators alone, without control flow, local functions or random numbers; else ForeignOperator."""
    if graph.nodes > MOST_NODES:
        raise MalformedGraph(f"{graph.nodes} nodes, at most {MOST_NODES} are allowed", path)
    if graph.forbidden:
        raise ForeignOperator(f"{', '.join(sorted(graph.forbidden))} are not allowed", path)
    for domain, operator in sorted(graph.operators):
        if domain not in DOMAINS or operator in RANDOM:
            raise ForeignOperator(f"operator {operator!r} of domain {domain!r} is not allowed", path)


def _check_values(graph: Graph, path: str, operation: Operation, signature: Signature) -> None:
    for kind, values, names in (
        ("inputs", graph.inputs, signature.inputs(operation)),
        ("outputs", graph.outputs, signature.outputs(operation)),
    ):
        found = tuple(value.name for value in values)
        if found != names:
            raise SignatureMismatch(f"{kind} are {found}, the signature says {names}", path)
    for value in graph.inputs:
        _check_value(value, input_shape(signature, value.name), element_type(signature, value.name), path)
    for value in graph.outputs:
        _check_value(value, output_shape(signature, operation, value.name), FLOAT, path)


def _check_value(value: Value, row: tuple[int, ...], element: int, path: str) -> None:
    if value.element_type != element:
        raise SignatureMismatch(f"{value.name} has element type {value.element_type}, expected {element}", path)
    shape = value.shape
    if shape is None or len(shape) != 1 + len(row) or shape[0] is not None or shape[1:] != row:
        raise SignatureMismatch(f"{value.name} has shape {shape}, expected {(None, *row)} (None: any)", path)


def element_type(signature: Signature, name: str) -> int:
    """The element type of an input: labels are int64, everything else float32."""
    return INT64 if name == "condition" and isinstance(signature.condition, LabelCondition) else FLOAT


def _external(initializer: Initializer, external: dict[str, str], weights: Tensors, path: str) -> np.ndarray:
    name = initializer.name
    if set(external) != {"location", "offset", "length"} or external["location"] != WEIGHTS:
        raise ForeignExternalData(f"{name!r} has external data {external}; only {WEIGHTS} is allowed", path)
    if name not in weights.entries:
        raise WrongKey(f"{name!r} is not a tensor of {WEIGHTS}", path)
    entry = weights.entries[name]
    if (external["offset"], external["length"]) != (str(entry.offset), str(entry.length)):
        raise ForeignExternalData(
            f"{name!r} takes {external['length']} bytes at {external['offset']}, "
            f"the tensor is {entry.length} bytes at {entry.offset}",
            path,
        )
    if entry.shape != initializer.dims:
        raise WrongShape(f"{name!r} has shape {initializer.dims}, in {WEIGHTS} {entry.shape}", path)
    if entry.dtype != "F32" or initializer.data_type != FLOAT:
        raise WrongDtype(f"{name!r} is {entry.dtype}, with element type {initializer.data_type} here", path)
    return weights.array(name)
