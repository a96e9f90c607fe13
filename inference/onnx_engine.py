"""The CPU engine: ONNX Runtime sessions over graphs and weights that are already in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnxruntime

from inference.array_engine import ArrayEngine
from inference.engine import EngineError, EngineOutOfMemory, Inputs
from model_store.signature import Operation, Signature


class OnnxEngine(ArrayEngine):
    """Runs each operation's graph in a session of its own; thread-safe.

    Args:
        signature: names, shapes and kinds of the inputs and outputs.
        graphs: the ONNX model of each operation of the signature, as bytes.
        weights: for each operation the tensors that its graph takes from outside, by the graph's names.
        threads: threads of one run; 1 lets several runs proceed side by side.

    Raises:
        EngineError: ONNX Runtime refuses a graph.
    """

    device = "cpu"

    def __init__(
        self,
        signature: Signature,
        graphs: Mapping[Operation, bytes],
        weights: Mapping[Operation, Mapping[str, np.ndarray]],
        threads: int = 1,
    ) -> None:
        super().__init__(signature)
        self._sessions = {
            operation: _session(graphs[operation], weights.get(operation, {}), threads)
            for operation in signature.operations
        }
        self.bytes = sum(array.nbytes for tensors in weights.values() for array in tensors.values())

    def compute(self, operation: Operation, feed: Inputs) -> Sequence[np.ndarray]:
        """One run of the operation's session."""
        session = self._sessions.get(operation)
        if session is None:
            raise EngineError("the engine is closed")
        try:
            outputs: Sequence[np.ndarray] = session.run(self.signature.outputs(operation), feed)
        except MemoryError as error:
            raise EngineOutOfMemory(f"{operation}: {error}") from error
        except Exception as error:  # ONNX Runtime's exceptions share no base class but this one
            kind = EngineOutOfMemory if "allocate" in str(error).lower() else EngineError
            raise kind(f"{operation}: {error}") from error
        return outputs

    def close(self) -> None:
        """Drop the sessions. Idempotent; a run in progress ends well."""
        self._sessions = {}


def _session(graph: bytes, weights: Mapping[str, np.ndarray], threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    options.add_session_config_entry("session.load_model_format", "ONNX")
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle sessions leave the cores alone
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in weights.values()]
    if values:
        options.add_external_initializers(list(weights), values)
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions share no base class but this one
        raise EngineError(str(error)) from error
