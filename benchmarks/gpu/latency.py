"""How long one small call takes, from arrays on the host to arrays on the host: what a lone request waits for."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from benchmarks.gpu.models import MIXTURE, wide_models
from benchmarks.gpu.plan import Plan, Row
from benchmarks.gpu.subject import ENGINES, feed, loaded_on, store_of
from benchmarks.gpu.timing import latencies
from inference.engine import Inputs
from inference.loaded import Loaded
from model_store.signature import Operation

ROWS = (1, 16, 64)


def measure(plan: Plan) -> Iterator[Row]:
    """p50 and p99 in microseconds of every operation of the mixture, in both engines; operations take turns."""
    store = store_of(plan, MIXTURE, wide_models(plan.sizes)[MIXTURE])
    for engine in ENGINES:
        loaded = loaded_on(plan, store, MIXTURE, engine)
        for batch in ROWS:
            operations = loaded.signature.operations
            calls = {str(o): call_of(loaded, o, feed(loaded.signature, o, batch)) for o in operations}
            for operation, seconds in latencies(calls, 1000 if plan.card else 20).items():
                p50, p99 = (1e6 * np.quantile(seconds, (0.5, 0.99))).tolist()
                yield {"engine": engine, "operation": operation, "rows": batch, "p50_us": p50, "p99_us": p99}
        loaded.close()


def call_of(loaded: Loaded, operation: Operation, inputs: Inputs) -> Callable[[], object]:
    """One engine call as a function without arguments."""
    return lambda: loaded.engine.run(operation, inputs)
