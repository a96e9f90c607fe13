"""Hand-made flows as somebody else would export them: weights inside the graphs, one file each, and a signature."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import onnx
from onnx import numpy_helper
from safetensors.numpy import load

from inference.publishing import Given
from tests.inference.handmade import Version

Change = Callable[[onnx.ModelProto], object]


def write(folder: Path, version: Version, operation: str = "", change: Change | None = None) -> Given:
    """Write the graphs, one of them changed, and the signature without its operations."""
    weights = load(version.content)
    for name, graph in version.graphs.items():
        model = onnx.ModelProto()
        model.CopyFrom(graph)
        for tensor in model.graph.initializer:
            if tensor.data_location == onnx.TensorProto.EXTERNAL:
                tensor.CopyFrom(numpy_helper.from_array(weights[tensor.name], tensor.name))
        if name == operation and change is not None:
            change(model)
        (folder / f"{name}.onnx").write_bytes(model.SerializeToString())
    content = version.signature.model_dump(mode="json")
    del content["operations"]
    (folder / "signature.json").write_text(json.dumps(content))
    return Given(signature=folder / "signature.json", graphs={name: folder / f"{name}.onnx" for name in version.graphs})
