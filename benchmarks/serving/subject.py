"""The flow that every contestant serves: built here, exported and published by this project's own code.

Its weights are random (seed 0): what is measured does not depend on them.
"""

from __future__ import annotations

from pathlib import Path

import torch

from flows.architecture import build
from flows.config import Conditioner, CouplingConfig, Data, LabelCondition
from flows.models.base import Model
from model_store import Draft, Store
from model_store.code_version import code_version
from model_store.manifest import Lineage
from training.export import export
from training.signature import signature_of

MODEL = "bench"
CLASSES = 8
FEATURES = 2
CONFIG = CouplingConfig(
    data=Data(shape=(FEATURES,)),
    condition=LabelCondition(classes=CLASSES),
    blocks=8,
    conditioner=Conditioner(width=512, depth=3),
)


def publish(folder: Path) -> Path:
    """The store in `folder`, which holds the flow as its only model; made at the first call."""
    store = Store.open(folder)
    if MODEL in store.models():
        return folder
    torch.manual_seed(0)
    model = build(CONFIG).eval()
    for weight in model.parameters():
        if not weight.any():  # the last layer of a conditioner: without this the flow is the identity
            torch.nn.init.normal_(weight, std=0.01)
    draft, files = version_of(MODEL, model, "benchmarks.serving")
    store.publish(draft, files)
    return folder


def version_of(name: str, model: Model, recipe: str) -> tuple[Draft, dict[str, bytes]]:
    """An untrained model as a publisher hands it to a store."""
    exported = export(model)
    draft = Draft(
        name=name,
        signature=signature_of(model),
        family=model.config.family,
        parameters=exported.parameters,
        graph_errors=exported.graph_errors,
        precision_errors=exported.precision_errors,
        probe=exported.probe,
        lineage=Lineage(recipe=recipe, seed=0, data_digest="", code_version=code_version()),
    )
    return draft, exported.files


def unpack(store: Path, folder: Path) -> Path:
    """The version's architecture, weights and decode graph as plain files, for contestants that know no store."""
    opened = Store.open(store)
    manifest = opened.resolve(MODEL, None)
    folder.mkdir(parents=True, exist_ok=True)
    for path in ("architecture.json", "weights.safetensors", "decode.onnx"):
        (folder / path).write_bytes(opened.read(manifest, path))
    return folder
