"""The versions that are measured: models of benchmarks.gpu.models, exported and published as any other version is."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.gpu.plan import Plan
from benchmarks.serving.subject import version_of
from flows.models.base import Model
from inference.engine import Arrays
from inference.loaded import Loaded
from inference.loading import Placement, load_version
from inference.warming import warm
from model_store import Manifest, Store
from model_store.manifest import Precision
from model_store.signature import ArraySpec, Operation, Signature
from service.settings import Settings

ENGINES = ("ONNX Runtime", "torch")


def store_of(plan: Plan, name: str, model: Model, folder_name: str | None = None) -> Path:
    """A store that holds `model` as its only version; made once for each state of the source."""
    folder = plan.folder / "stores" / f"{folder_name or name}-{plan.source}"
    store = Store.open(folder)
    if name not in store.models():
        draft, files = version_of(name, model, "benchmarks.gpu")
        store.publish(draft, files)
    return folder


def loaded_on(
    plan: Plan,
    store: Path,
    name: str,
    engine: str,
    precision: Precision = "float32",
    fuse_s: float = Settings.model_fields["fuse_s"].default,
) -> Loaded:
    """The version in one of ENGINES, warm as in the service: ONNX Runtime on the CPU, torch on the plan's device."""
    opened = Store.open(store)
    manifest = opened.resolve(name)
    placement = on_torch(plan, precision, fuse_s) if engine == ENGINES[1] else Placement()
    loaded = load_version(manifest, partial(opened.read, manifest), placement=placement)
    for _ in warm(loaded):
        pass
    return loaded


def on_torch(plan: Plan, precision: Precision = "float32", fuse_s: float = 0.0) -> Placement:
    """The torch engine on the plan's device (`cpu` alone means ONNX Runtime); on a CPU small, not compiled."""
    if not plan.card:
        return Placement(device="cpu:0", precision=precision, most_rows=1024)
    return Placement(device=plan.device, precision=precision, fuse_seconds=fuse_s)


def precisions(manifest: Manifest) -> tuple[Precision, ...]:
    """Those that the version may be served in."""
    return ("float32", *manifest.precision_errors)


def feed(signature: Signature, operation: Operation, rows: int, seed: int = 0) -> Arrays:
    """Random inputs of an operation, in the dtypes of the engines."""
    rng = np.random.default_rng(seed)
    arrays = {"x": _values(rng, rows, signature.data)}
    for part in (*signature.latent, *signature.noise):
        draw = rng.random if part.distribution == "uniform" else rng.standard_normal
        arrays[part.name] = draw((rows, *part.shape), dtype=np.float32)
    if signature.embedding is not None:
        arrays["embedding"] = rng.standard_normal((rows, *signature.embedding), dtype=np.float32)
    condition = signature.condition
    if condition.kind == "label":
        arrays["condition"] = rng.integers(len(condition.classes), size=rows)
    elif condition.kind != "none":
        arrays["condition"] = _values(rng, rows, condition.array)
    return {name: arrays[name] for name in signature.inputs(operation)}


def _values(rng: np.random.Generator, rows: int, spec: ArraySpec) -> np.ndarray:
    if spec.is_integer:
        return rng.integers(spec.levels, size=(rows, *spec.shape)).astype(np.uint8)
    return rng.standard_normal((rows, *spec.shape), dtype=np.float32)
