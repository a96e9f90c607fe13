"""ONNX graphs that share one weights file: initialisers above 1 KB become references into a safetensors file.

A graph stores no large tensor itself. Each large floating initialiser is external data: location
`weights.safetensors`, the absolute byte offset of the tensor inside that file, and its length. Small and integer
tensors stay inline.
"""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Mapping

import numpy as np
import onnx
import onnx_ir
import onnx_ir.passes.common as passes
import torch
from onnx import TensorProto, numpy_helper
from onnx.helper import make_node
from onnxscript import optimizer
from safetensors.numpy import save
from torch import Tensor

from flows.functions import Function
from inference.graph_checks import INLINE_BYTES, WEIGHTS

SHARED_BYTES = 256  # of a weight that does: larger ones stand once in the weights file, not in every graph
OPSET = 20
FOLDED = 1 << 20  # elements: weights computed from parameters are folded, which is done once here


def trace(function: Function, inputs: tuple[Tensor, ...]) -> onnx.ModelProto:
    """The graph of `function` with a dynamic number of rows, traced on example `inputs` of two rows or more.

    Traced by TorchScript, which takes a twentieth of the time of torch.export (0.3 s against 7 s of one core for six
    blocks); that the trace holds for every number of rows is checked by running it. Constants are folded, so that no
    graph computes what does not depend on its inputs, but nothing is fused: ONNX Runtime does that when it loads, and a
    fused weight would be stored beside the one it came from. Initialisers keep the names of the model's tensors. What
    the exporter notes about the machine (paths, stack traces) is removed.
    """
    buffer = io.BytesIO()
    names = (*function.inputs, *function.outputs)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tracing, and that it is not the newer exporter
        torch.onnx.export(
            function.eval(),
            inputs,
            buffer,  # type: ignore[arg-type]  # this exporter writes to buffers, which keeps weights out of files
            dynamo=False,
            training=torch.onnx.TrainingMode.PRESERVE,  # which is eval; EVAL would fuse normalisations into weights
            opset_version=OPSET,
            input_names=list(function.inputs),
            output_names=list(function.outputs),
            dynamic_axes={name: {0: "rows"} for name in names},
        )
    model = onnx_ir.from_proto(onnx.load_from_string(buffer.getvalue()))
    passes.IdentityEliminationPass()(model)
    optimizer.fold_constants(model, onnx_shape_inference=True, input_size_limit=FOLDED, output_size_limit=FOLDED)
    for clean in (
        passes.RemoveUnusedNodesPass(),
        passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        passes.DeduplicateInitializersPass(),
        passes.CommonSubexpressionEliminationPass(),
        passes.RemoveUnusedNodesPass(),
    ):
        clean(model)
    proto = onnx_ir.to_proto(model)
    _declare_outputs(proto, function, inputs)
    _strip(proto)
    return proto


@torch.no_grad()
def _declare_outputs(proto: onnx.ModelProto, function: Function, inputs: tuple[Tensor, ...]) -> None:
    """Output shapes as torch has them: shape inference loses track of some, and readers check them."""
    outputs = function(*inputs)
    tensors = outputs if isinstance(outputs, tuple) else (outputs,)
    for value, tensor in zip(proto.graph.output, tensors, strict=True):
        shape = value.type.tensor_type.shape
        del shape.dim[:]
        shape.dim.add().dim_param = "rows"
        for length in tensor.shape[1:]:
            shape.dim.add().dim_value = length


class WeightsFile:
    """The tensors of one version, each stored once, and the graphs that point at them.

    `add` collects the graphs' large initialisers: one that is a tensor of the model, or its transpose, is found by its
    bytes; any other (a folded constant) is stored beside them as `graph.<n>`. `finish` then fixes the layout.
    """

    def __init__(self, tensors: Mapping[str, np.ndarray]) -> None:
        self.tensors = {name: np.asarray(array, order="C") for name, array in tensors.items()}
        self._names: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        for name, array in self.tensors.items():
            self._names.setdefault(_identity(array), name)

    def add(self, proto: onnx.ModelProto) -> None:
        """Rename the large initialisers of `proto` to the tensors they are, and store those that are new."""
        renamed: dict[str, str] = {}
        turned: dict[str, str] = {}
        for initializer in proto.graph.initializer:
            array = numpy_helper.to_array(initializer)
            if not _may_be_shared(array):
                continue
            key = _identity(array)
            preferred = initializer.name.removeprefix("model.")
            if preferred in self.tensors and _identity(self.tensors[preferred]) == key:
                renamed[initializer.name] = preferred
                continue
            if array.ndim == 2 and key not in self._names and (source := self._names.get(_identity(array.T))):
                turned[initializer.name] = source
                continue
            if key not in self._names:
                if array.nbytes <= INLINE_BYTES:
                    continue
                self._names[key] = f"graph.{sum(name.startswith('graph.') for name in self.tensors)}"
                self.tensors[self._names[key]] = array
            renamed[initializer.name] = self._names[key]
        self._turn(proto, turned)
        _rename(proto, renamed)

    def _turn(self, proto: onnx.ModelProto, turned: Mapping[str, str]) -> None:
        """Replace initialisers by transposes of the tensors they come from: ONNX Runtime folds them when it loads."""
        kept = [initializer for initializer in proto.graph.initializer if initializer.name not in turned]
        kept += [numpy_helper.from_array(self.tensors[source], source) for source in sorted(set(turned.values()))]
        nodes = [make_node("Transpose", [source], [name], perm=[1, 0]) for name, source in turned.items()]
        nodes += proto.graph.node
        del proto.graph.initializer[:], proto.graph.node[:]
        proto.graph.initializer.extend(kept)
        proto.graph.node.extend(nodes)

    def finish(self, protos: Mapping[str, onnx.ModelProto]) -> tuple[bytes, dict[str, bytes]]:
        """The file's bytes, and each graph's bytes with its large initialisers as external data."""
        content = save(self.tensors)
        start = 8 + int.from_bytes(content[:8], "little")
        header = json.loads(content[8:start])
        for proto in protos.values():
            for initializer in proto.graph.initializer:
                if initializer.name not in header or not _may_be_shared(numpy_helper.to_array(initializer)):
                    continue
                begin, end = header[initializer.name]["data_offsets"]
                initializer.ClearField("raw_data")
                initializer.data_location = TensorProto.EXTERNAL
                place = {"location": WEIGHTS, "offset": str(start + begin), "length": str(end - begin)}
                for key, value in place.items():
                    initializer.external_data.add(key=key, value=value)
        return content, {name: proto.SerializeToString(deterministic=True) for name, proto in protos.items()}


def _may_be_shared(array: np.ndarray) -> bool:
    return array.dtype == np.float32 and array.nbytes > SHARED_BYTES


def _identity(array: np.ndarray) -> tuple[str, tuple[int, ...], bytes]:
    return array.dtype.str, array.shape, array.tobytes()


def _rename(proto: onnx.ModelProto, names: Mapping[str, str]) -> None:
    """Rename values; a renamed initialiser that now occurs twice is kept once."""
    taken = {value for node in proto.graph.node for value in node.output} | {value.name for value in proto.graph.input}
    clash = taken & set(names.values())
    assert not clash, f"graph values named like weights: {sorted(clash)}"
    for node in proto.graph.node:
        for index, value in enumerate(node.input):
            node.input[index] = names.get(value, value)
    kept: dict[str, TensorProto] = {}
    for initializer in proto.graph.initializer:
        initializer.name = names.get(initializer.name, initializer.name)
        kept.setdefault(initializer.name, initializer)
    unique = list(kept.values())
    del proto.graph.initializer[:]
    proto.graph.initializer.extend(unique)


def _strip(proto: onnx.ModelProto) -> None:
    """Remove what only describes how the graph was made."""
    del proto.graph.value_info[:]
    records = (proto, proto.graph, *proto.graph.node, *proto.graph.input, *proto.graph.output, *proto.graph.initializer)
    for record in records:
        record.ClearField("metadata_props")
        record.ClearField("doc_string")
