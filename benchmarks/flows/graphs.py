"""The same condflow model as exported graphs in ONNX Runtime: what the CPU service runs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnxruntime as ort

from benchmarks.flows.configuration import Configuration
from benchmarks.flows.contestants import Condflow


def graph_calls(config: Configuration, contestant: Condflow, rows: int) -> dict[str, Callable[[], object]]:
    """`log_prob` and `sample` of the exported model, one intra-op thread, rows fixed."""
    from inference.onnx_engine import OnnxEngine
    from training.export import export

    exported = export(contestant.module)
    engine = OnnxEngine.from_files(exported.files, exported.signature, threads=1)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, config.features), dtype=np.float32)
    c = rng.standard_normal((rows, config.condition), dtype=np.float32)
    return {
        "log_prob": lambda: engine.run("score", {"x": x, "condition": c}),
        "sample": lambda: engine.run("decode", {"z": x, "condition": c}),
    }


def version() -> str:
    """The runtime's version."""
    return str(ort.__version__)
