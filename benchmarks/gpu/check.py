"""Both engines against float64: every function of every model, as the service would run it, beside torch in double."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping

import numpy as np
import torch

from benchmarks.gpu.models import conditional_spline, perturb, wide_models
from benchmarks.gpu.plan import Plan, Row
from benchmarks.gpu.subject import ENGINES, feed, loaded_on, precisions, store_of
from flows.functions import Function, functions
from inference.engine import Arrays
from model_store import Store
from model_store.manifest import Precision

BATCHES = (1, 7, 256)
FUSE_S = 5.0  # enough for the smallest program and the largest: both ways of running are checked


def measure(plan: Plan) -> Iterator[Row]:
    """One row per model, engine, precision and operation: the largest error relative to 1 + |value|."""
    for name, model in {**wide_models(plan.sizes), "spline": perturb(conditional_spline())}.items():
        store = store_of(plan, name, model)
        exact = functions(copy.deepcopy(model).double())
        runs: list[tuple[str, Precision]] = [(ENGINES[0], "float32")]
        runs += [(ENGINES[1], precision) for precision in precisions(Store.open(store).resolve(name))]
        for engine, precision in runs:
            loaded = loaded_on(plan, store, name, engine, precision, FUSE_S)
            for operation in loaded.signature.operations:
                errors = []
                for batch in BATCHES:
                    arrays = feed(loaded.signature, operation, batch, seed=batch)
                    errors.append(error_of(loaded.engine.run(operation, arrays), in_double(exact[operation], arrays)))
                worst = float(np.max(errors))
                named = {"model": name, "engine": engine, "precision": precision, "operation": operation}
                yield named | {"error": worst}
            loaded.close()


def in_double(function: Function, arrays: Arrays) -> Arrays:
    """The answers of torch in float64 on the CPU."""
    inputs = [torch.from_numpy(np.asarray(arrays[name])) for name in function.inputs]
    with torch.inference_mode():
        outputs = function(*(tensor.double() if tensor.is_floating_point() else tensor for tensor in inputs))
    parts = outputs if isinstance(outputs, tuple) else (outputs,)
    return {name: part.numpy() for name, part in zip(function.outputs, parts, strict=True)}


def error_of(got: Mapping[str, np.ndarray], want: Mapping[str, np.ndarray]) -> float:
    """max |got - want| / (1 + |want|); NaN where a number is not finite, so that no bound holds.

    >>> error_of({"x": np.array([1.5])}, {"x": np.array([1.0])})
    0.25
    """
    worst = 0.0
    for name, expected in want.items():
        found = got[name].astype(np.float64)
        if found.shape != expected.shape or not np.isfinite(found).all():
            return float("nan")
        worst = max(worst, float(np.max(np.abs(found - expected) / (1 + np.abs(expected)), initial=0.0)))
    return worst
