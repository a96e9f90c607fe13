"""One operation at one batch size: inputs at fixed addresses, outputs at fixed addresses, and what runs between."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from inference.engine import EngineLost, EngineOutOfMemory
from inference.gpu.feeders import Feeder
from inference.gpu.fusion import Function
from inference.gpu.lanes import Lane, Slot, Step
from inference.gpu.outcomes import outcome
from inference.gpu.packing import Field, Packing

_log = logging.getLogger("condflow.inference")
_DTYPES: dict[type[np.generic], torch.dtype] = {
    np.float32: torch.float32,
    np.int64: torch.int64,
    np.uint8: torch.uint8,
}


class Program:
    """`outputs = function(inputs)`, rows of one bucket.

    Args:
        function: from tensors to tensors, in the order of `feeders` and of `outputs`.
        feeders: one for each input.
        outputs: fields; integers (uint8) are rounded into 0..`levels` - 1 on the device, NaN becomes 0.
        fixed: the fixed buffers in and out, at least as large as the packings of this program.
        levels: of integer outputs.
        lane: where it runs.
    """

    def __init__(
        self,
        function: Function,
        feeders: Sequence[Feeder],
        outputs: Sequence[Field],
        fixed: tuple[Tensor, Tensor],
        levels: int,
        lane: Lane,
    ) -> None:
        self.function, self._feeders, self._lane = function, tuple(feeders), lane
        self.inward = Packing(field for feeder in feeders for field in feeder.fields)
        self.outward = Packing(outputs)
        self._fixed_in, self._fixed_out = fixed[0][: self.inward.size], fixed[1][: self.outward.size]
        self._inputs, self._outputs = tensors(self.inward, fixed[0]), tensors(self.outward, fixed[1])
        self._most = levels - 1
        self.call: Step = lane.eager(self.step)
        self.captured = False
        self.fused = False
        self.calls = 0

    def step(self) -> None:
        """From the fixed inputs to the fixed outputs: what is captured."""
        outputs = self.function(*[feeder.tensor(self._inputs) for feeder in self._feeders])
        made = outputs if isinstance(outputs, tuple) else (outputs,)
        for target, output in zip(self._outputs.values(), made, strict=True):
            if target.dtype == torch.uint8:
                output = output.nan_to_num(nan=0.0).round().clamp(0, self._most)
            target.copy_(output)

    def run(
        self, slot: Slot, feed: Mapping[str, Any], names: Sequence[str], start: int, stop: int, into: Sequence[np.ndarray]
    ) -> None:
        """Rows [start, stop) of the inputs `names` of `feed`, to the same rows of `into`."""
        self._lane.reserve(slot, self.inward.size, self.outward.size)
        arrays = self.inward.arrays(slot.inward.numpy())
        for name, feeder in zip(names, self._feeders, strict=True):
            feeder.write(arrays, feed[name], start, stop)
        self._lane.exchange(slot, self._fixed_in, self._fixed_out, self.call)
        found = self.outward.arrays(slot.outward.numpy())
        for target, array in zip(into, found.values(), strict=True):
            target[start:stop] = array[: stop - start]

    def capture(self) -> None:
        """Let the lane capture it, on inputs that are all zero; what cannot be captured is called in Python.

        The lane's lock is held. Raises EngineOutOfMemory and EngineLost.
        """
        if self.captured:
            return
        self._fixed_in.zero_()
        try:
            self.call = self._lane.capture(self.step)
        except Exception as error:
            found = outcome(error, "capture")
            if isinstance(found, EngineOutOfMemory | EngineLost):
                raise found from error
            _log.warning("a program of %s runs uncaptured: %s", self.outward.fields[0].name, found)
        self.captured = True

    def forget(self) -> None:
        """Back to calls in Python; what was captured is freed."""
        self.call, self.captured = self._lane.eager(self.step), False


def tensors(packing: Packing, block: Tensor) -> dict[str, Tensor]:
    """Views of a block of bytes, as `Packing.arrays` for numpy."""
    return {
        field.name: block[slice(*packing.places[field.name])].view(_DTYPES[field.dtype]).view(field.shape)
        for field in packing.fields
    }
