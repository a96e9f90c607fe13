"""The CPU engine: ONNX Runtime sessions over graphs and weights that are already in memory."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnxruntime

from inference.engine import Arrays, EngineError, EngineOutOfMemory
from inference.shapes import input_shape, output_shape
from model_store.signature import LabelCondition, Operation, Signature


class OnnxEngine:
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
        self.signature = signature
        self._sessions = {
            operation: _session(graphs[operation], weights.get(operation, {}), threads)
            for operation in signature.operations
        }
        self._columns = {
            operation: {name: _column(signature, name) for name in signature.inputs(operation)}
            for operation in signature.operations
        }

    def run(self, operation: Operation, inputs: Mapping[str, np.ndarray]) -> Arrays:
        """Answer one batch: floats as float32, labels as int64, integer data as uint8 (NaN becomes 0).

        Raises:
            EngineError: unknown operation, wrong inputs, a failure of ONNX Runtime, or the engine is closed.
            EngineOutOfMemory: there was no memory for the batch.
        """
        session = self._sessions.get(operation)
        if session is None:
            raise EngineError(f"no `{operation}` here" if operation not in self._columns else "the engine is closed")
        feed = self._feed(operation, inputs)
        names = self.signature.outputs(operation)
        try:
            outputs = session.run(names, feed)
        except MemoryError as error:
            raise EngineOutOfMemory(f"{operation}: {error}") from error
        except Exception as error:  # ONNX Runtime's exceptions share no base class but this one
            kind = EngineOutOfMemory if "allocate" in str(error).lower() else EngineError
            raise kind(f"{operation}: {error}") from error
        rows = len(next(iter(feed.values())))
        result: Arrays = {}
        for name, array in zip(names, outputs, strict=True):
            wanted = (rows, *output_shape(self.signature, operation, name))
            if array.shape != wanted:
                raise EngineError(f"{operation}: output {name} has shape {array.shape}, expected {wanted}")
            result[name] = self._integers(array) if name == "x" and self.signature.data.is_integer else array
        return result

    def warm(self, rows: int = 1) -> None:
        """Run every operation once on zeros, so that no caller pays for first allocations."""
        for operation, columns in self._columns.items():
            self.run(operation, {name: np.zeros((rows, *shape), dtype) for name, (shape, dtype) in columns.items()})

    def close(self) -> None:
        """Drop the sessions. Idempotent; a run in progress ends well."""
        self._sessions = {}

    def _feed(self, operation: Operation, inputs: Mapping[str, np.ndarray]) -> Arrays:
        columns = self._columns[operation]
        if set(inputs) != set(columns):
            raise EngineError(f"{operation}: expected inputs {sorted(columns)}, got {sorted(inputs)}")
        feed: Arrays = {}
        for name, (shape, dtype) in columns.items():
            array = np.ascontiguousarray(inputs[name], dtype=dtype)
            if array.shape[1:] != shape:
                raise EngineError(f"{operation}: input {name} has rows of shape {array.shape[1:]}, expected {shape}")
            feed[name] = array
        if len({len(array) for array in feed.values()}) > 1:
            raise EngineError(f"{operation}: inputs differ in rows: { {name: len(a) for name, a in feed.items()} }")
        return feed

    def _integers(self, array: np.ndarray) -> np.ndarray:
        clipped = np.clip(np.nan_to_num(np.rint(array), nan=0.0), 0, self.signature.data.levels - 1)
        return clipped.astype(np.uint8)


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


def _column(signature: Signature, name: str) -> tuple[tuple[int, ...], type[np.generic]]:
    label = name == "condition" and isinstance(signature.condition, LabelCondition)
    return input_shape(signature, name), np.int64 if label else np.float32
