"""The floor of a cell: the matrix products at the rate this machine really reaches on products of that shape."""

from __future__ import annotations

from itertools import pairwise

import torch

from benchmarks.flows.configuration import Configuration
from benchmarks.flows.timing import interleaved, quartile


def forward_floor(config: Configuration, rows: int) -> float:
    """Seconds that the bare products of all conditioners take for `rows` rows, as out-of-the-box `torch.mm` into
    ready buffers: inputs x width, width x width, width x outputs, `transforms` times. Nothing else is counted."""
    half = config.features // 2
    widths = (half + config.condition, config.width, config.width, half * config.outputs)
    weights = [torch.randn(a, b) for a, b in pairwise(widths)]
    inputs = [torch.randn(rows, a) for a in widths[:-1]]
    outputs = [torch.empty(rows, b) for b in widths[1:]]

    def products() -> None:
        for _ in range(config.transforms):
            for x, w, y in zip(inputs, weights, outputs, strict=True):
                torch.mm(x, w, out=y)

    with torch.inference_mode():
        return quartile(interleaved({"floor": products}, rounds=9)["floor"])


def floor_of(config: Configuration, operation: str, rows: int) -> float:
    """Backward costs two more products for each one of the forward pass."""
    return forward_floor(config, rows) * (3 if operation == "forward+backward" else 1)
