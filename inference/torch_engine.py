"""The torch engine: the model built from its architecture and verified weights, on a CUDA device.

Imported only where `--device cuda` is asked for: the CPU service never imports torch. It answers as the CPU engine
does, within the bound that the manifest records; the probe checks that at load.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from flows.architecture import build, load_architecture
from flows.functions import functions
from inference.array_engine import ArrayEngine
from inference.device_noise import DeviceNoise, run_table
from inference.drawn import Column, Drawn
from inference.engine import EngineError, EngineLost, EngineOutOfMemory, Inputs
from model_store.signature import Operation, Signature


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
    """Runs the pure functions of a model eagerly on `device`, and draws noise there; thread-safe.

    Args:
        signature: names, shapes and kinds of the inputs and outputs.
        architecture: the bytes of `architecture.json`.
        weights: every tensor of `weights.safetensors` by name; those beside the model's own are ignored.
        device: `cuda`, `cuda:1`, or `cpu` to exercise this engine without a card.

    Raises:
        EngineError: the device is not there, or the weights do not fit the architecture.
    """

    draws = True

    def __init__(
        self, signature: Signature, architecture: bytes, weights: Mapping[str, np.ndarray], device: str = "cuda"
    ) -> None:
        super().__init__(signature)
        check_device(device)
        self._place = torch.device(device)
        self.device = str(self._place)
        model = build(load_architecture(architecture))
        missing = set(model.state_dict()) - set(weights)
        if missing:
            raise EngineError(f"weights: {sorted(missing)[0]} of the architecture is not in weights.safetensors")
        state = {name: torch.from_numpy(np.array(weights[name])) for name in model.state_dict()}
        try:
            model.load_state_dict(state)
        except RuntimeError as error:
            raise EngineError(f"weights: {error}") from error
        self._noise = DeviceNoise(self._place)
        self._functions = functions(model.to(self._place).eval(), embedded=signature.embedding is not None)

    def compute(self, operation: Operation, feed: Inputs) -> Sequence[np.ndarray]:
        """One eager call without gradients."""
        function = self._functions.get(operation)
        if function is None:
            raise EngineError("the engine is closed")
        try:
            with torch.inference_mode():
                inputs = [self._placed(feed[name]) for name in function.inputs]
                outputs = function(*inputs)
                parts = outputs if isinstance(outputs, tuple) else (outputs,)
                return [part.cpu().numpy() for part in parts]
        except torch.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            raise EngineOutOfMemory(f"{operation}: {error}") from error
        except torch.AcceleratorError as error:
            raise EngineLost(f"{operation}: {error}") from error
        except RuntimeError as error:
            raise EngineError(f"{operation}: {error}") from error

    def _placed(self, column: Column) -> torch.Tensor:
        if not isinstance(column, Drawn):
            return torch.from_numpy(column).to(self._place)
        table = torch.from_numpy(run_table(column, len(column.runs))).to(self._place)
        return self._noise.numbers(table, len(column), column.part)

    def close(self) -> None:
        """Drop the model. Idempotent; a run in progress ends well."""
        self._functions = {}
