"""Rows per second of every operation from 2^6 rows on, each beside the floor of its products, memory and bus."""

from __future__ import annotations

from dataclasses import asdict

import torch

from benchmarks.gpu.check import weights_of
from benchmarks.gpu.floors import cost_of, floor_of
from benchmarks.gpu.latency import call_of
from benchmarks.gpu.models import wide_models
from benchmarks.gpu.plan import Plan, Row
from benchmarks.gpu.rates import measure_rates
from benchmarks.gpu.subject import ENGINES, feed, loaded_on, store_of
from benchmarks.gpu.timing import median_call
from inference.engine import EngineOutOfMemory

KINDS = ("rates", "call")


def measure(plan: Plan) -> list[Row]:
    """First the measured rates, then one row per model, operation and batch: seconds, floor and its terms."""
    sizes = plan.sizes
    rates = measure_rates(torch.device(plan.device), sizes.matrix_side, sizes.copy_bytes)
    rows: list[Row] = [{"kind": KINDS[0], "side": sizes.matrix_side, **asdict(rates)}]
    for name, model in wide_models(sizes).items():
        matrices, weight_bytes = weights_of(model)
        loaded = loaded_on(plan, store_of(plan, name, model), name, ENGINES[1])
        for operation in loaded.signature.operations:
            for batch in (2**e for e in sizes.exponents):
                arrays = feed(loaded.signature, operation, batch)
                row: Row = {"kind": KINDS[1], "model": name, "operation": operation, "precision": "float32"}
                row["rows"] = batch
                try:
                    outputs = loaded.engine.run(operation, arrays)
                except EngineOutOfMemory as error:
                    rows.append(row | {"note": f"out of memory: {str(error)[:80]}"})
                    break
                seconds = median_call(call_of(loaded, operation, arrays))
                bytes_in, bytes_out = (sum(a.nbytes for a in side.values()) for side in (arrays, outputs))
                cost = cost_of(2 * matrices, weight_bytes, bytes_in, bytes_out, batch)
                floor = floor_of(cost, rates, "float32")
                rows.append(row | {"seconds": seconds, "flops": cost.flops, **asdict(floor)})
        loaded.close()
    return rows
