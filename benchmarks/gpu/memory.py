"""What a version takes of the device's memory: at rest after loading, warm, and at a large batch."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch

from benchmarks.gpu.models import MIXTURE, wide_models
from benchmarks.gpu.plan import Plan, Row
from benchmarks.gpu.subject import feed, on_torch, store_of
from inference.loading import load_version
from inference.warming import warm
from model_store import Store

_PRETRAINED = Path(__file__).parents[2] / "pretrained"
_MIB = 2**20


def measure(plan: Plan) -> Iterator[Row]:
    """One row per version: MiB of its weights, then allocated, reserved and peak on the device.

    The ready-made versions and the mixture, loaded one after another, each released before the next. On a CPU torch
    counts nothing, and the figures are zero.
    """
    store = Store.open(store_of(plan, MIXTURE, wide_models(plan.sizes)[MIXTURE], "every"))
    for archive in sorted(_PRETRAINED.glob("*.condflow")):
        if archive.name.rsplit("-", 1)[0] not in store.models():
            store.import_archive(archive)
    batch = 2 ** max(e for e in plan.sizes.exponents if e <= 16)
    for name in store.models():
        yield _version(plan, store, name, batch)
    yield {"version": "none (what stays after the last)", **_counted(plan)}


def _version(plan: Plan, store: Store, name: str, batch: int) -> Row:
    before = _counted(plan, reset=True)["allocated_mib"]
    manifest = store.resolve(name)
    loaded = load_version(manifest, partial(store.read, manifest), placement=on_torch(plan))
    at_rest = _counted(plan)
    for _ in warm(loaded):
        pass
    warmed = _counted(plan)["allocated_mib"]
    rows = batch if loaded.signature.embedding is None else batch // 16
    loaded.engine.run("decode", feed(loaded.signature, "decode", rows))
    used = _counted(plan)
    weights = loaded.manifest.file("weights.safetensors")
    row: Row = {"version": f"{name}@{loaded.version}", "weights_mib": (weights.size if weights else 0) / _MIB}
    row |= {"loaded_mib": at_rest["allocated_mib"] - before, "warm_mib": warmed - before, "rows": rows}
    row |= {"allocated_mib": used["allocated_mib"] - before, "peak_mib": used["peak_mib"] - before}
    row["reserved_mib"] = used["reserved_mib"]
    loaded.close()
    return row


def _counted(plan: Plan, reset: bool = False) -> dict[str, float]:
    if not plan.card:
        return dict.fromkeys(("allocated_mib", "peak_mib", "reserved_mib"), 0.0)
    torch.cuda.synchronize()
    if reset:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    taken = (torch.cuda.memory_allocated(), torch.cuda.max_memory_allocated(), torch.cuda.memory_reserved())
    return dict(zip(("allocated_mib", "peak_mib", "reserved_mib"), (value / _MIB for value in taken), strict=True))
