"""One operation at one batch size: inputs at fixed addresses, outputs at fixed addresses, and what runs between."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import accumulate, pairwise
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
    """`outputs = function(feeders' tensors)`, rows of one bucket.

    Args:
        name: of it, for messages.
        function: from the fields of the inputs, in order, to the outputs; see `fed`.
        feeders: one for each input.
        outputs: fields; integers (uint8) are rounded into 0..`levels` - 1 on the device, NaN becomes 0.
        fixed: the fixed buffers in and out, at least as large as the packings of this program.
        levels: of integer outputs.
        lane: where it runs.
        fused: whether `function` is compiled.
    """

    def __init__(
        self,
        name: str,
        function: Function,
        feeders: Sequence[Feeder],
        outputs: Sequence[Field],
        fixed: tuple[Tensor, Tensor],
        levels: int,
        lane: Lane,
        *,
        fused: bool = False,
    ) -> None:
        self.name, self.fused = name, fused
        self._function, self._feeders, self._lane, self._most = function, tuple(feeders), lane, levels - 1
        self.inward = Packing(field for feeder in feeders for field in feeder.fields)
        self.outward = Packing(outputs)
        self._fixed_in, self._fixed_out = fixed[0][: self.inward.size], fixed[1][: self.outward.size]
        self._inputs, self._outputs = tensors(self.inward, fixed[0]), tensors(self.outward, fixed[1])
        self._replay: Step | None = None
        self.captured = False
        self.calls = 0

    def step(self) -> None:
        """From the fixed inputs to the fixed outputs: what is captured."""
        outputs = self._function(*self._inputs)
        made = outputs if isinstance(outputs, tuple) else (outputs,)
        for target, output in zip(self._outputs, made, strict=True):
            if target.dtype == torch.uint8:
                output = output.nan_to_num(nan=0.0).round().clamp(0, self._most)
            target.copy_(output)

    def call(self) -> None:
        """`step`, replayed where it was captured. The lane's lock is held."""
        replay = self._replay
        if replay is None:
            self._lane.eager(self.step)
        else:
            replay()

    def run(self, slot: Slot, values: Sequence[Any], into: Sequence[np.ndarray]) -> None:
        """The rows of `values`, one for each feeder and at most a bucket of them, to the outputs `into`."""
        self._lane.reserve(slot, self.inward.size, self.outward.size)
        arrays = iter(self.inward.arrays(slot.inward.numpy()))
        for feeder, value in zip(self._feeders, values, strict=True):
            feeder.write([next(arrays) for _ in feeder.fields], value)
        self._lane.exchange(slot, self._fixed_in, self._fixed_out, self.call)
        for result, array in zip(into, self.outward.arrays(slot.outward.numpy()), strict=True):
            result[:] = array[: len(result)]

    def capture(self) -> None:
        """Let the lane capture it; what cannot be captured is called in Python.

        The lane's lock is held, alone. Raises EngineOutOfMemory and EngineLost.
        """
        if self.captured:
            return
        try:
            self._replay = self._lane.capture(self.step, self._fixed_in)
        except Exception as error:
            found = outcome(error, self.name)
            if isinstance(found, EngineOutOfMemory | EngineLost):
                raise found  # noqa: B904 (it names its cause)
            _log.warning("not captured, slower: %s", found)
        self.captured = True

    def forget(self) -> None:
        """Back to calls in Python; what was captured is freed. The lane is settled, and its lock held."""
        self._replay, self.captured, self.calls = None, False, 0


def fed(function: Function, feeders: Sequence[Feeder]) -> Function:
    """`function` of the tensors that the feeders make: of the fields, as they lie on the device."""

    ends = list(accumulate((len(feeder.fields) for feeder in feeders), initial=0))
    own = [slice(first, last) for first, last in pairwise(ends)]

    def of_fields(*raw: Tensor) -> Tensor | tuple[Tensor, ...]:
        return function(*[feeder.tensor(raw[fields]) for feeder, fields in zip(feeders, own, strict=True)])

    of_fields.__code__ = of_fields.__code__.replace()  # torch's compiler makes a few variants of a code object at most
    return of_fields


def tensors(packing: Packing, block: Tensor) -> list[Tensor]:
    """Views of a block of bytes, as `Packing.arrays` for numpy."""
    return [
        block[start:end].view(_DTYPES[field.dtype]).view(field.shape)
        for field, (start, end) in zip(packing.fields, packing.places, strict=True)
    ]
