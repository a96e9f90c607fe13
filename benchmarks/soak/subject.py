"""What is asked: the ready-made mixture and digits in two versions each, and questions whose answers do not change.

The service runs with `fixed_rows`, so that an answer is the same to the bit whatever is asked beside it.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from model_store.manifest import Draft
from model_store.store import Store
from tests.support.wire import JSON, NDJSON, NPZ, Request

MODELS = ("gaussian-mixture", "digits")
SETTINGS = {"CONDFLOW_FIXED_ROWS": "64", "CONDFLOW_POLL_SECONDS": "0.2", "CONDFLOW_THREADS": "1"}
_PRETRAINED = Path(__file__).parents[2] / "pretrained"
_MIXTURE = MODELS[0]


def fill(path: Path) -> Store:
    """A store with both versions of each model: the second has the same files, so that it answers the same."""
    store = Store.open(path)
    for name in MODELS:
        (manifest,) = store.import_archive(_PRETRAINED / f"{name}-1.condflow")
        draft = Draft(**{field: getattr(manifest, field) for field in Draft.model_fields} | {"metrics": {"again": 1.0}})
        store.publish(draft, {entry.path: store.read(manifest, entry.path) for entry in manifest.files}, alias=None)
    return store


def _npz(rows: int, width: int) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, x=np.random.default_rng(rows).normal(size=(rows, width)).astype(np.float32))
    return buffer.getvalue()


def _sample(name: str, count: int, accept: str, **more: object) -> Request:
    return Request.json("/sample", {"model": name, "condition": 1, "num_samples": count, "seed": 7, **more}, accept)


def _score(path: str, rows: int, accept: str) -> Request:
    query = f"{path}?model={_MIXTURE}&draws=2"
    return Request(query, _npz(rows, 2), {"Content-Type": NPZ, "Accept": accept})


QUESTIONS: dict[str, Request] = {
    "one row, JSON": _sample(_MIXTURE, 1, JSON),
    "one digit, JSON": _sample("digits", 1, JSON),
    "2,000 samples, npz": _sample(_MIXTURE, 2000, NPZ),
    "500 digits, npz": _sample("digits", 500, NPZ),
    "stream of 20,000": _sample(_MIXTURE, 20_000, NDJSON),
    "summary of 2,000": _sample(_MIXTURE, 2000, JSON, summary=["mean", "sd", "quantiles", "covariance"]),
    "loglik, 500 rows": _score("/loglik", 500, NPZ),
    "infer-condition, 50 rows": _score("/infer-condition", 50, JSON),
}
MEASURED = "one row, JSON"  # whose p99 is followed
ENDLESS = _sample(_MIXTURE, 1_000_000, NDJSON)
