"""Small ONNX graphs, node by node, whose large and small tensors all lie in one weights file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

import numpy as np
import onnx
from onnx import TensorProto, helper
from safetensors.numpy import save

from inference.shapes import input_shape, output_shape
from model_store.manifest import FileEntry, Lineage, Manifest
from model_store.signature import LabelCondition, Operation, Signature

WEIGHTS = "weights.safetensors"
Files = dict[str, bytes]


class GraphBuilder:
    """`g.op("Add", "x", "shift")` adds a node and returns its output's name; `g.weight` names a stored tensor."""

    def __init__(self, weights: Mapping[str, np.ndarray]) -> None:
        self.content = save({name: np.ascontiguousarray(array) for name, array in weights.items()})
        self.weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}

    def op(self, operator: str, *inputs: str, output: str | None = None, **attributes: object) -> str:
        name = output or f"value_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        for used in inputs:
            if used in self.weights and used not in self.initializers:
                self.initializers[used] = external(used, self.weights[used], self.content)
        return name

    def constant(self, value: object, dtype: type = np.float32) -> str:
        name = f"constant_{len(self.initializers)}"
        self.initializers[name] = onnx.numpy_helper.from_array(np.array(value, dtype=dtype), name)
        return name

    def build(self, signature: Signature, operation: Operation) -> onnx.ModelProto:
        def value(name: str, shape: tuple[int, ...]) -> onnx.ValueInfoProto:
            label = name == "condition" and isinstance(signature.condition, LabelCondition)
            return helper.make_tensor_value_info(name, TensorProto.INT64 if label else TensorProto.FLOAT, ("n", *shape))

        graph = helper.make_graph(
            self.nodes,
            operation,
            [value(name, input_shape(signature, name)) for name in signature.inputs(operation)],
            [value(name, output_shape(signature, operation, name)) for name in signature.outputs(operation)],
            list(self.initializers.values()),
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def external(name: str, array: np.ndarray, content: bytes) -> onnx.TensorProto:
    """A reference to a tensor of the weights file `content`."""
    start = 8 + int.from_bytes(content[:8], "little")
    begin, end = json.loads(content[8:start])[name]["data_offsets"]
    tensor = TensorProto(name=name, dims=array.shape, data_type=TensorProto.FLOAT)
    tensor.data_location = TensorProto.EXTERNAL
    for key, entry in (("location", WEIGHTS), ("offset", str(start + begin)), ("length", str(end - begin))):
        tensor.external_data.add(key=key, value=entry)
    return tensor


def manifest(signature: Signature, files: Mapping[str, bytes], **fields: object) -> Manifest:
    """A manifest that names exactly `files`."""
    return Manifest(
        **{
            "name": "handmade",
            "version": 1,
            "files": tuple(
                FileEntry(path=path, digest=hashlib.sha256(content).hexdigest(), size=len(content))
                for path, content in sorted(files.items())
            ),
            "signature": signature,
            "family": "coupling",
            "parameters": 1,
            "lineage": Lineage(recipe="handmade", seed=0, data_digest="0" * 64, code_version="0"),
            "created": "2026-01-01T00:00:00Z",
            **fields,
        }
    )
