"""The real service on the device: 1-row requests in a closed loop, and one request for very many samples."""

from __future__ import annotations

import io
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.gpu.models import MIXTURE, wide_models
from benchmarks.gpu.plan import Plan, Row
from benchmarks.gpu.subject import store_of
from benchmarks.serving.load import Load, spec
from benchmarks.serving.pinned import ask
from tests.support.service_process import service_process

_JSON = {"content-type": "application/json"}
_NPZ = {**_JSON, "accept": "application/x-npz"}
REPEATS = 3


def measure(plan: Plan) -> Iterator[Row]:
    """One row per question and number of clients, then the large request: seconds (median of three) and bytes."""
    store = store_of(plan, MIXTURE, wide_models(plan.sizes)[MIXTURE])
    device = plan.device if plan.card else "cpu"
    environment: dict[str, Any] = dict(os.environ)
    with service_process(store, "--device", device, **environment) as service:
        for path, body in questions().items():
            for clients in plan.sizes.clients:
                found = _closed_loop(plan, service.port, path, body, clients)
                yield {"kind": "one row", "path": path, "clients": clients, **found}
        yield _large(service.port, plan.sizes.http_samples)


def questions() -> dict[str, str]:
    """One row of each of the three questions, as JSON."""
    x = [[0.5, -0.25]]
    return {
        "/sample": json.dumps({"model": MIXTURE, "condition": 1, "num_samples": 1, "seed": 7}),
        "/loglik": json.dumps({"model": MIXTURE, "x": x, "condition": 1, "draws": 1}),
        "/infer-condition": json.dumps({"model": MIXTURE, "x": x, "draws": 1}),
    }


def _closed_loop(plan: Plan, port: int, path: str, body: str, clients: int) -> Row:
    load = Load(port, path, _JSON, body, plan.sizes.http_s, connections=clients)
    command = [sys.executable, "-m", "benchmarks.serving.load", spec(load)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: Row = json.loads(done.stdout)
    if set(found["statuses"]) != {"200"}:
        raise RuntimeError(f"{path} with {clients} clients: {found['statuses']}")
    return found


def _large(port: int, samples: int) -> Row:
    body = json.dumps({"model": MIXTURE, "condition": 1, "num_samples": samples, "seed": 7})
    taken, size = [], 0
    for _ in range(REPEATS):
        status, content, seconds = ask(Load(port, "/sample", _NPZ, body, 0.0))
        if status != 200:
            raise RuntimeError(f"/sample of {samples:,}: {status} {content[:200]!r}")
        taken.append(seconds)
        size = len(content)
    with np.load(io.BytesIO(content)) as arrays:
        drawn = arrays["samples"]
    if len(drawn) != samples or not np.isfinite(drawn).all():
        raise RuntimeError(f"/sample of {samples:,} answered {drawn.shape}, not finite or not all of them")
    return {"kind": "many samples", "samples": samples, "seconds": statistics.median(taken), "bytes": size}
