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


def measure(plan: Plan, name: str) -> list[Row]:
    """First the measured rates, then one row per precision, operation and batch of that model."""
    sizes = plan.sizes
    rates = measure_rates(torch.device(plan.device), sizes.matrix_side, sizes.copy_bytes)
    rows: list[Row] = [{"kind": "rates", "side": sizes.matrix_side, **asdict(rates)}]
    model = wide_models(sizes)[name]
    store = store_of(plan, name, model)
    for precision in precisions(Store.open(store).resolve(name)):
        loaded = loaded_on(plan, store, name, ENGINES[1], precision)
        named: Row = {"kind": "call", "model": name, "precision": precision}
        rows += [named | row for row in _calls(loaded, weights_of(model, precision), rates, precision, sizes.exponents)]
        loaded.close()
    return rows


def weights_of(model: Model, precision: Precision) -> tuple[int, int]:
    """Numbers in matrices, and bytes of all weights as the engine holds them in this precision."""
    held = copy.deepcopy(model)
    if precision == "bf16":
        round_weights(held)
    parameters = list(held.parameters())
    return sum(p.numel() for p in parameters if p.ndim == 2), sum(p.nbytes for p in parameters)


def _calls(
    loaded: Loaded, weights: tuple[int, int], rates: Rates, precision: Precision, exponents: Sequence[int]
) -> Iterator[Row]:
    matrices, weight_bytes = weights
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
                cost = cost_of(2 * matrices, weight_bytes, bytes_in, bytes_out, batch)
                yield row | {"seconds": seconds, "flops": cost.flops, **asdict(floor_of(cost, rates, precision))}


def _told(part: Part, rows: int) -> Drawn:
    """Latents that the engine is told to draw itself."""
    return Drawn.of(NoiseSource(7, SAMPLING, 0, part), [(0, 0, rows)], 1.0)
