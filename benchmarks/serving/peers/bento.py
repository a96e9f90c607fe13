"""BentoML: a batchable API whose batches are rows; adaptive batching within a latency budget. `bentoml serve`."""

from __future__ import annotations

import bentoml
import numpy as np

from benchmarks.serving.peers.torch_flow import DEADLINE_S, TorchFlow


@bentoml.service(workers=1, traffic={"timeout": DEADLINE_S}, logging={"access": {"enabled": False}})
class Flow:
    """One worker."""

    def __init__(self) -> None:
        self.flow = TorchFlow()

    @bentoml.api(batchable=True, batch_dim=0, max_batch_size=1024, max_latency_ms=int(1000 * DEADLINE_S))
    def sample(self, conditions: np.ndarray) -> np.ndarray:
        """(rows, D) for (rows,) labels."""
        return self.flow.sample(conditions)
