"""The same condflow model as exported graphs in ONNX Runtime: what the CPU service runs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.flows.configuration import Configuration
from benchmarks.flows.contestants import Condflow
from training.export import export, session_of


def graph_calls(config: Configuration, contestant: Condflow, rows: int) -> dict[str, Callable[[], object]]:
    """`log_prob` and `sample` of the exported model, one intra-op thread."""
    files = export(contestant.module).files
    weights = files["weights.safetensors"]
    rng = np.random.default_rng(0)
    values = rng.standard_normal((rows, config.features), dtype=np.float32)
    condition = rng.standard_normal((rows, config.condition), dtype=np.float32)
    score = session_of(files["score.onnx"], weights)
    decode = session_of(files["decode.onnx"], weights)
    return {
        "log_prob": lambda: score.run(None, {"x": values, "condition": condition}),
        "sample": lambda: decode.run(None, {"z": values, "condition": condition}),
    }
