"""The flow as a user of torch has it in hand: loaded from plain files, sampled for many requests in one call."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from flows.architecture import build
from flows.config import CouplingConfig

MAX_REQUESTS = 64
DEADLINE_S = float(os.environ["BENCH_DEADLINE_S"])
PORT = int(os.environ["BENCH_PORT"])


class TorchFlow:
    """`sample(conditions)` draws one x per condition, eagerly, without gradients."""

    def __init__(self) -> None:
        folder = Path(os.environ["BENCH_FLOW"])
        config = CouplingConfig.model_validate(json.loads((folder / "architecture.json").read_text()))
        self._model = build(config).eval()
        self._model.load_state_dict(load_file(folder / "weights.safetensors"))
        self._features = config.data.size
        self.sample([0])

    @torch.inference_mode()
    def sample(self, conditions: Sequence[int] | np.ndarray) -> np.ndarray:
        """(rows, D) float32 for (rows,) labels."""
        labels = torch.as_tensor(conditions, dtype=torch.int64)
        return self._model.decode((torch.randn(len(labels), self._features),), labels).numpy()

    def sample_each(self, requests: Sequence[tuple[int, int]]) -> list[np.ndarray]:
        """One array per (condition, number of samples), all from one call of the model."""
        conditions, counts = zip(*requests, strict=True)
        samples = self.sample(np.repeat(conditions, counts))
        return np.split(samples, np.cumsum(counts)[:-1])


def npz(samples: Any) -> bytes:
    """The answer in binary."""
    buffer = io.BytesIO()
    np.savez(buffer, samples=samples)
    return buffer.getvalue()
