"""The bound that no server beats: the engine itself, called in a loop on the server's core. Prints one JSON object."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks.serving.subject import CLASSES, FEATURES, MODEL
from flows.architecture import build
from flows.config import CouplingConfig
from inference.loading import load_version
from model_store import Store


def seconds_per_call(call: Callable[[], object], budget_s: float) -> float:
    """Median over calls within the budget, at least three, after one that is not counted."""
    call()
    taken: list[float] = []
    end = time.perf_counter() + budget_s
    while len(taken) < 3 or time.perf_counter() < end:
        started = time.perf_counter()
        call()
        taken.append(time.perf_counter() - started)
    return float(np.median(taken))


def main() -> None:
    """Seconds per call, by engine and rows, as in `{"onnx": {"1": ...}}`.

    Arguments: the store, seconds for each measurement, engines and rows, both with commas between.
    """
    folder, budget, engines, sizes = sys.argv[1:]
    torch.set_num_threads(1)
    store = Store.open(Path(folder))
    manifest = store.resolve(MODEL, None)
    loaded = load_version(manifest, lambda path: store.read(manifest, path), threads=1)
    config = CouplingConfig.model_validate(json.loads(store.read(manifest, "architecture.json")))
    model = build(config).eval()
    random = np.random.default_rng(0)
    found: dict[str, dict[str, float]] = {engine: {} for engine in engines.split(",")}
    for rows in map(int, sizes.split(",")):
        z = random.standard_normal((rows, FEATURES), dtype=np.float32)
        labels = random.integers(CLASSES, size=rows)
        feed: dict[str, np.ndarray] = {"z": z, "condition": labels}
        tensors = (torch.from_numpy(z),), torch.from_numpy(labels)

        def eager(arguments: tuple[tuple[torch.Tensor], torch.Tensor] = tensors) -> torch.Tensor:
            with torch.inference_mode():
                return model.decode(*arguments)

        def graph(arguments: dict[str, np.ndarray] = feed) -> object:
            return loaded.engine.run("decode", arguments)

        for engine, calls in found.items():
            calls[str(rows)] = seconds_per_call(graph if engine == "onnx" else eager, float(budget))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
