"""The CPU engine: ONNX Runtime sessions over graphs and weights that are already in memory."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import onnxruntime

from inference.array_engine import ArrayEngine
from inference.engine import EngineError, EngineOutOfMemory, Inputs
from inference.memory import give_back
from model_store.signature import Operation, Signature

_NO_MEMORY = ("allocate", "bad_alloc", "bad allocation")


class OnnxEngine(ArrayEngine):
    """Runs each operation's graph in a session of its own; thread-safe.

    A session packs the weights into a layout of its own, which sessions cannot share, so that an operation costs the
    size of the weights. One that rests costs nothing: all that rest share the weights as they were read, and the first
    call builds the session again (30 ms for 4 million weights).

    Args:
        signature: names, shapes and kinds of the inputs and outputs.
        graphs: the ONNX model of each operation of the signature, as bytes.
        weights: for each operation the tensors that its graph takes from outside, by the graph's names.
        threads: threads of one run; 1 lets several runs proceed side by side.
        rests: whether `rest` will be called; else graphs and weights are not kept.

    Raises:
        EngineError: ONNX Runtime refuses a graph; EngineOutOfMemory: there is no memory for it.
    """

    device = "cpu"

    def __init__(
        self,
        signature: Signature,
        graphs: Mapping[Operation, bytes],
        weights: Mapping[Operation, Mapping[str, np.ndarray]],
        threads: int = 1,
        *,
        rests: bool = False,
    ) -> None:
        super().__init__(signature)
        self._threads = threads
        sources = {operation: (graphs[operation], weights.get(operation, {})) for operation in signature.operations}
        self._sessions = {operation: _session(*source, threads) for operation, source in sources.items()}
        self._sources = sources if rests else {}
        self._changing = threading.Lock()
        self._weight_bytes = sum(array.nbytes for _, tensors in sources.values() for array in tensors.values())

    def compute(self, operation: Operation, feed: Inputs) -> Sequence[np.ndarray]:
        """One run of the operation's session."""
        self.prepare(operation)
        session = self._sessions.get(operation)
        if session is None:
            raise EngineError("the engine is closed")
        try:
            outputs: Sequence[np.ndarray] = session.run(self.signature.outputs(operation), feed)
        except Exception as error:  # ONNX Runtime's exceptions share no base class but this one
            raise _kind(error)(f"{operation}: {error}") from error
        return outputs

    def prepare(self, operation: Operation) -> None:
        """Build the session of an operation that rests. The weights as they were read go with the last of them."""
        if operation in self._sessions:
            return
        with self._changing:
            if operation in self._sources and operation not in self._sessions:
                session = _session(*self._sources[operation], self._threads)
                self._keep({**self._sessions, operation: session})
                give_back()

    def rest(self, keep: Collection[Operation]) -> None:
        """Drop the sessions of all other operations until they are asked for."""
        with self._changing:
            if self._sources:
                self._keep({operation: session for operation, session in self._sessions.items() if operation in keep})

    def close(self) -> None:
        """Drop the sessions. Idempotent; a run in progress ends well."""
        with self._changing:
            self._sessions, self._sources = {}, {}

    def _held(self) -> int:
        """As if none rested."""
        return self._weight_bytes

    def _keep(self, sessions: dict[Operation, onnxruntime.InferenceSession]) -> None:
        self._sessions = sessions
        if len(sessions) == len(self._sources):
            self._sources = {}


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
        raise _kind(error)(str(error)) from error


def _kind(error: Exception) -> type[EngineError]:
    """What a failure of ONNX Runtime means: memory ran out, or the call was wrong."""
    message = str(error).lower()
    short = isinstance(error, MemoryError) or any(words in message for words in _NO_MEMORY)
    return EngineOutOfMemory if short else EngineError
