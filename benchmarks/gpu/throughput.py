"""Rows per second of every operation from 2^6 rows on, each beside the floor of its products, memory and bus."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import asdict

import numpy as np
import torch

from benchmarks.gpu.floors import Rates, cost_of, floor_of
from benchmarks.gpu.latency import call_of
from benchmarks.gpu.models import wide_models
from benchmarks.gpu.plan import Plan, Row
from benchmarks.gpu.rates import measure_rates
from benchmarks.gpu.subject import ENGINES, feed, loaded_on, precisions, store_of
from benchmarks.gpu.timing import median_call
from flows.conditioners.precision import round_weights
from flows.models.base import Model
from inference.drawn import Column, Drawn
from inference.engine import EngineOutOfMemory
from inference.loaded import Loaded
from inference.noise import SAMPLING, NoiseSource
from inference.repeated import Repeated
from model_store import Store
from model_store.manifest import Precision
from model_store.signature import Part


def measure(plan: Plan, name: str) -> Iterator[Row]:
    """First the measured rates, then one row per precision, operation and batch of that model."""
    sizes = plan.sizes
    rates = measure_rates(torch.device(plan.device), sizes.matrix_side, sizes.copy_bytes)
    yield {"kind": "rates", "side": sizes.matrix_side, **asdict(rates)}
    model = wide_models(sizes)[name]
    store = store_of(plan, name, model)
    for precision in precisions(Store.open(store).resolve(name)):
        loaded = loaded_on(plan, store, name, ENGINES[1], precision)
        named: Row = {"kind": "call", "model": name, "precision": precision}
        for row in _calls(loaded, weights_of(model, precision), rates, sizes.exponents):
            yield named | row
        loaded.close()


def weights_of(model: Model, precision: Precision) -> tuple[dict[str, int], int]:
    """FLOPs of one row in products with matrices, by their precision, and bytes of all weights as the engine has them.

    In bf16 only what `round_weights` rounds is multiplied so: the last layers of conditioners stay in float32.
    """
    held = copy.deepcopy(model)
    if precision == "bf16":
        round_weights(held)
    flops: dict[str, int] = {}
    for matrix in (p for p in held.parameters() if p.ndim == 2):
        own = "bf16" if matrix.dtype == torch.bfloat16 else "tf32" if precision == "tf32" else "float32"
        flops[own] = flops.get(own, 0) + 2 * matrix.numel()
    return flops, sum(p.nbytes for p in held.parameters())


def _calls(
    loaded: Loaded, weights: tuple[dict[str, int], int], rates: Rates, exponents: Sequence[int]
) -> Iterator[Row]:
    row_flops, weight_bytes = weights
    for operation in loaded.signature.operations:
        for drawn in (False, True) if operation == "decode" and loaded.engine.draws else (False,):
            for batch in (2**e for e in exponents):
                given = feed(loaded.signature, operation, batch)
                inputs: dict[str, Column] = dict(given)
                if drawn:  # as large samples of one condition are
                    inputs |= {part.name: _told(part, batch) for part in loaded.signature.latent}
                if drawn and "condition" in given:
                    inputs["condition"] = Repeated(given["condition"][:1], np.array([batch]))
                row: Row = {"operation": f"{operation}, drawn there" if drawn else operation, "rows": batch}
                try:
                    outputs = loaded.engine.run(operation, inputs)
                except EngineOutOfMemory as error:
                    yield row | {"note": f"out of memory: {str(error)[:80]}"}
                    break
                seconds = median_call(call_of(loaded, operation, inputs))
                bytes_in = sum(column.nbytes for column in inputs.values() if isinstance(column, np.ndarray))
                bytes_out = sum(output.nbytes for output in outputs.values())
                cost = cost_of(row_flops, weight_bytes, bytes_in, bytes_out, batch)
                yield row | {"seconds": seconds, "flops": cost.flops, **asdict(floor_of(cost, rates))}


def _told(part: Part, rows: int) -> Drawn:
    """Latents that the engine is told to draw itself."""
    return Drawn.of(NoiseSource(7, SAMPLING, 0, part), [(0, 0, rows)], 1.0)
