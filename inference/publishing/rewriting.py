"""A foreign graph re-encoded: large weights moved to one file, declared shapes completed, leftovers dropped.

Kept are the nodes, the small tensors and the opset; dropped are recorded shapes in between, documentation and whatever
the exporter noted about its machine. The inputs and outputs are declared as the signature has them: what the graph
says may be less (an exporter that lost a shape), but must not contradict it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod

import numpy as np
from safetensors.numpy import save

from inference.errors import ForeignExternalData, MalformedGraph, WrongShape
from inference.graph_checks import DOMAINS, INLINE_BYTES, WEIGHTS, check_operators
from inference.onnx_reader import EXTERNAL, FLOAT, Initializer, read_graph
from inference.protobuf import BYTES, VARINT, GraphFormatError, encoded, fields, single, text
from inference.publishing.declaring import declare
from inference.weights import Tensors
from model_store.signature import Operation, Signature

ITEM_BYTES = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4, 13: 8, 16: 2}


class WeightsFile:
    """Large float32 tensors of all graphs, each content once, under the first name that it had and its digest.

    `parameters` counts the numbers of all float32 tensors but scalars, large or small, each content once.
    """

    def __init__(self) -> None:
        self._keys: dict[tuple[tuple[int, ...], str], str] = {}
        self._tensors: dict[str, np.ndarray] = {}
        self.parameters = 0

    def add(self, name: str, dims: tuple[int, ...], data: memoryview) -> str | None:
        """The tensor's key in the file; None for a small one, which stays in its graph."""
        identity = dims, hashlib.sha256(data).hexdigest()
        if identity not in self._keys:
            self._keys[identity] = f"{name}.{identity[1][:16]}"
            self.parameters += prod(dims) if dims else 0
        if len(data) <= INLINE_BYTES:
            return None
        key = self._keys[identity]
        self._tensors[key] = np.frombuffer(data, dtype="<f4").reshape(dims)
        return key

    def content(self) -> bytes:
        """The safetensors file."""
        return save(self._tensors)


@dataclass
class Rewritten:
    """A graph whose weights were taken out; `encode` gives its bytes once the weights file is laid out.

    `producer` is what the exporter calls itself, `opset` the version of the standard operators.
    """

    producer: str
    opset: int
    model: list[bytes] = field(default_factory=list)
    nodes: list[memoryview] = field(default_factory=list)
    kept: list[bytes] = field(default_factory=list)
    moved: dict[str, tuple[str, tuple[int, ...]]] = field(default_factory=dict)
    values: list[bytes] = field(default_factory=list)

    def encode(self, weights: Tensors, name: str) -> bytes:
        """The graph's bytes, with the moved tensors as external data at their places in the weights file."""
        keys = {old: key for old, (key, _) in self.moved.items()}
        graph = [encoded(1, _node(node, keys)) for node in self.nodes]
        graph += [encoded(2, name), *(encoded(5, tensor) for tensor in self.kept)]
        for key, dims in dict(self.moved.values()).items():
            entry = weights.entries[key]
            place = {"location": WEIGHTS, "offset": str(entry.offset), "length": str(entry.length)}
            graph.append(encoded(5, _external(key, dims, place)))
        return b"".join((*self.model, encoded(7, b"".join((*graph, *self.values)))))


def rewrite(
    content: bytes,
    path: str,
    operation: Operation,
    signature: Signature,
    external: Callable[[str], bytes],
    weights: WeightsFile,
) -> Rewritten:
    """Take a graph apart; `external` reads the files that its tensors lie in, `path` names it in errors.

    Raises:
        LoadError: a MalformedGraph, ForeignOperator, ForeignExternalData, WrongShape or SignatureMismatch.
        Refusal: a file of external data is not to be had.
    """
    try:
        read = read_graph(content)
        check_operators(read, path)
        result = _model(content)
        result.values = declare(read, operation, signature, path)
        for tensor, encoding in zip(read.initializers, _take_graph(content, result), strict=True):
            _place(tensor, encoding, path, external, weights, result)
    except GraphFormatError as error:
        raise MalformedGraph(f"expected an ONNX model; its bytes cannot be read as one ({error})", path) from None
    return result


def _model(content: bytes) -> Rewritten:
    names, model, opset = {2: "", 3: ""}, [], 0
    kinds = {1: VARINT, 2: BYTES, 3: BYTES, 8: BYTES}
    for number, value in fields(memoryview(content), kinds, once={1, 2, 3}):
        if number == 8:
            entry = single(value, {1: BYTES, 2: VARINT})
            if text(entry.get(1, b"")) in DOMAINS:  # no operator of another one is used
                model.append(encoded(8, value))
                opset = entry.get(2, 0)
        elif number == 1:
            model.append(encoded(1, value))
        else:
            names[number] = text(value)
    return Rewritten(f"{names[2]} {names[3]}".strip()[:200], opset, model)


def _take_graph(content: bytes, result: Rewritten) -> list[memoryview]:
    """Keep the nodes, and give the initializers' bytes."""
    graph = single(memoryview(content), {7: BYTES})[7]
    tensors = []
    for number, value in fields(graph, {1: BYTES, 5: BYTES}):
        if number == 1:
            result.nodes.append(value)
        else:
            tensors.append(value)
    return tensors


def _place(
    tensor: Initializer,
    content: memoryview,
    path: str,
    external: Callable[[str], bytes],
    weights: WeightsFile,
    result: Rewritten,
) -> None:
    """Move a tensor to the weights file, or keep it; its data must be as long as its shape says."""
    name, dims = tensor.name, tensor.dims
    if name in result.moved:
        raise MalformedGraph(f"initializer {name!r} appears twice", path)
    needed = prod(dims) * ITEM_BYTES.get(tensor.data_type, 0)
    if tensor.external is not None:
        data: memoryview | None = _slice(tensor, needed, path, external)
    else:
        data = single(content, {9: BYTES}).get(9)
        if data is not None and tensor.data_type in ITEM_BYTES and len(data) != needed:
            raise WrongShape(f"tensor {name!r} of shape {dims} takes {needed:,} bytes, it holds {len(data):,}", path)
    key = weights.add(name, dims, data) if data is not None and tensor.data_type == FLOAT else None
    if key is not None:
        result.moved[name] = (key, dims)
    elif data is not None and tensor.external is not None:
        sizes = b"".join(encoded(1, size) for size in dims)
        result.kept.append(sizes + encoded(2, tensor.data_type) + encoded(8, name) + encoded(9, data))
    else:
        result.kept.append(bytes(content))


def _slice(tensor: Initializer, needed: int, path: str, external: Callable[[str], bytes]) -> memoryview:
    """The tensor's bytes in an external file, from the offset that the graph names."""
    name, places = tensor.name, tensor.external or {}
    offset, length = places.get("offset", "0"), places.get("length", str(needed))
    if set(places) - {"location", "offset", "length", "checksum"} or not (_is_size(offset) and _is_size(length)):
        raise ForeignExternalData(
            f"tensor {name!r} has external data {places}: expected location, offset, length", path
        )
    if int(length) != needed or not needed:
        raise ForeignExternalData(
            f"tensor {name!r} of shape {tensor.dims} takes {needed:,} bytes, its external data say {length}", path
        )
    content = memoryview(external(places.get("location", "")))
    end = int(offset) + needed
    if end > len(content):
        raise ForeignExternalData(
            f"tensor {name!r} ends at byte {end:,} of {places['location']!r}, which has {len(content):,}", path
        )
    return content[int(offset) : end]


def _is_size(value: str) -> bool:
    return value.isascii() and value.isdecimal() and len(value) < 19


def _external(key: str, dims: tuple[int, ...], place: dict[str, str]) -> bytes:
    """A float32 TensorProto whose data lie in the weights file."""
    sizes = b"".join(encoded(1, size) for size in dims)
    entries = b"".join(encoded(13, encoded(1, name) + encoded(2, value)) for name, value in place.items())
    return sizes + encoded(2, FLOAT) + encoded(8, key) + entries + encoded(14, EXTERNAL)


def _node(content: memoryview, keys: dict[str, str]) -> bytes:
    """The node with its inputs renamed and without documentation."""
    parts = []
    for number, value in fields(content, {1: BYTES, 2: BYTES, 3: BYTES, 4: BYTES, 5: BYTES, 7: BYTES}):
        name = text(value) if number == 1 else ""
        parts.append(encoded(number, keys.get(name, value)))
    return b"".join(parts)
