"""The torch engine: the model built from its architecture and verified weights, on a CUDA device.

Imported only where `--device cuda` is asked for: the CPU service never imports torch. It answers as the CPU engine
does, within the bound that the manifest records; the probe checks that at load.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue

import numpy as np
import torch

from flows.architecture import build, load_architecture
from flows.conditioners.precision import round_weights
from flows.functions import functions
from flows.models.base import Model
from inference.array_engine import ArrayEngine
from inference.device_noise import DeviceNoise
from inference.engine import EngineError, EngineLost, Inputs
from inference.gpu.card import CardLane
from inference.gpu.fields import Fields
from inference.gpu.fusion import Function, Fusion
from inference.gpu.lanes import HostLane, Lane, Slot
from inference.gpu.outcomes import outcome
from inference.gpu.programs import Programs, empty
from inference.repeated import Repeated
from model_store.manifest import Precision
from model_store.signature import LabelCondition, Operation, Signature

__all__ = ["Fusion", "TorchEngine", "check_device"]
SLOTS = 2  # batches on their way at once: one computes while another one's bytes come or go


def check_device(device: str) -> None:
    """Raises EngineError when `device` (`cpu`, `cuda`, `cuda:1`) is not there."""
    place = torch.device(device)
    if place.type != "cuda":
        return
    if not torch.cuda.is_available():
        raise EngineError(f"device {device}: no CUDA device is available here")
    if place.index is not None and place.index >= torch.cuda.device_count():
        raise EngineError(f"device {device}: there are only {torch.cuda.device_count()} CUDA devices here")


class TorchEngine(ArrayEngine):
    """Runs the pure functions of a model on `device`, in batches padded to buckets; thread-safe.

    Two threads keep a card busy: the bytes of one batch move while the other's rows are computed.

    Args:
        signature: names, shapes and kinds of the inputs and outputs.
        architecture: the bytes of `architecture.json`.
        weights: every tensor of `weights.safetensors` by name; those beside the model's own are ignored.
        device: `cuda`, `cuda:1`, or `cpu` to exercise this engine without a card.
        precision: how products are computed: float32; tf32, its operands cut to ten bits of mantissa (no effect on a
            CPU); bf16, the conditioners' trunks in bfloat16, log-determinants and all else in float32.
        most_rows: of one program; larger batches are computed in slices.
        fixed_rows: every program has so many rows, whatever the batch; 0 for as many as it needs.
        graphs: capture programs into CUDA graphs; on a CPU there are none.
        fusion: the compiler to try in `warm_up`; None for none.

    Raises:
        EngineError: the device is not there, or the weights do not fit the architecture.
        EngineOutOfMemory: the device has no room for them.
    """

    draws = True

    def __init__(
        self,
        signature: Signature,
        architecture: bytes,
        weights: Mapping[str, np.ndarray],
        device: str = "cuda",
        *,
        precision: Precision = "float32",
        most_rows: int = 65_536,
        fixed_rows: int = 0,
        graphs: bool = True,
        fusion: Fusion | None = None,
    ) -> None:
        super().__init__(signature)
        check_device(device)
        model = _model(architecture, weights)
        if precision == "bf16":
            round_weights(model)
        named = functions(model, embedded=signature.embedding is not None)
        for operation in signature.operations:
            if operation not in named or named[operation].inputs != signature.inputs(operation):
                raise EngineError(f"architecture: it has no `{operation}` of the inputs that the signature names")
        place = torch.device(device)
        lane: Lane = HostLane() if place.type == "cpu" else CardLane(place, tf32=precision == "tf32", graphs=graphs)
        try:
            lane.place(model)
            self._fields = Fields(signature, DeviceNoise(lane.device))
            ours: dict[Operation, Function] = {operation: named[operation] for operation in signature.operations}
            buckets = {operation: self._fields.buckets(operation, most_rows, fixed_rows) for operation in ours}
            programs = Programs(self._fields, ours, lane, buckets, fusion)
            self._slots = [lane.slot() for _ in range(SLOTS)]
        except (RuntimeError, MemoryError) as error:
            failure = outcome(error, "building")
            if not isinstance(failure, EngineLost):
                lane.close()
            raise failure  # noqa: B904 (it names its cause)
        self._programs: Programs | None = programs
        self.device, self._lane, self._lost = str(lane.device), lane, False
        self._free: SimpleQueue[Slot] = SimpleQueue()
        for slot in self._slots:
            self._free.put(slot)
        self._weight_bytes = sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()))
        condition = signature.condition
        self._classes = len(condition.classes) if isinstance(condition, LabelCondition) else None

    def warm_up(self) -> None:
        """Capture the commonest programs, and fuse those that it makes faster, in bounded time. Raises EngineError."""
        self._running().prepare()

    def compute(self, operation: Operation, feed: Inputs) -> Sequence[np.ndarray]:
        """The batch in slices, each padded to a bucket. Raises EngineError and its subclasses."""
        programs = self._running()
        self._check_labels(operation, feed)
        values = [feed[name] for name in self.signature.inputs(operation)]
        outputs = empty(self._fields, operation, len(values[0]))
        for start, stop, key in programs.slices(operation, values):
            slot = self._free.get()
            try:
                rows = slice(start, stop)
                programs.get(key).run(slot, [value[rows] for value in values], [output[rows] for output in outputs])
            except Exception as error:
                failure = outcome(error, str(key))
                self._lost = self._lost or isinstance(failure, EngineLost)
                programs.failed(key, failure)
                raise failure  # noqa: B904 (it names its cause)
            finally:
                self._free.put(slot)
            programs.buckets[operation].went_well(key.bucket)
        return outputs

    def close(self) -> None:
        """Drop the model. Idempotent; a run in progress ends well."""
        programs, self._programs, self._slots = self._programs, None, []
        if programs is None:
            return
        with self._lane.lock:
            with suppress(Empty):  # a slot in use goes with the run that has it
                while True:
                    self._free.get_nowait()
            self._free.put(self._lane.slot())  # for the slices of runs in progress, in turns
        if not self._lost:
            try:
                programs.forget()
                del programs
                self._lane.close()
            except RuntimeError as error:
                self._lost = isinstance(outcome(error, "closing"), EngineLost)

    def _held(self) -> int:
        """Weights, fixed buffers, captured programs, slots; nothing once it is closed."""
        programs = self._programs
        if programs is None:
            return 0
        return self._weight_bytes + programs.nbytes + sum(slot.nbytes for slot in self._slots)

    def _running(self) -> Programs:
        programs = self._programs
        if programs is None:
            raise EngineError("the engine is closed")
        if self._lost:
            raise EngineLost("the device is gone")
        return programs

    def _check_labels(self, operation: Operation, feed: Inputs) -> None:
        """On a card, a label that is no class would not raise but take the device down."""
        labels = feed.get("condition")
        if isinstance(labels, Repeated):
            labels = labels.values
        if self._classes is None or not isinstance(labels, np.ndarray) or not len(labels):
            return
        if labels.min() < 0 or labels.max() >= self._classes:
            raise EngineError(f"{operation}: condition: expected labels from 0 to {self._classes - 1}")


def _model(architecture: bytes, weights: Mapping[str, np.ndarray]) -> Model:
    model = build(load_architecture(architecture))
    missing = set(model.state_dict()) - set(weights)
    if missing:
        raise EngineError(f"weights: {sorted(missing)[0]} of the architecture is not in weights.safetensors")
    state = {name: torch.from_numpy(np.array(weights[name])) for name in model.state_dict()}
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise EngineError(f"weights: {error}") from error
    return model.requires_grad_(False).eval()
