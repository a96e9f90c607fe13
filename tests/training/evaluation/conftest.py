from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save

from flows.architecture import build, load_architecture
from inference.loaded import Loaded
from inference.loading import load_version
from model_store.manifest import FileEntry, Lineage, Manifest
from model_store.signature import VectorCondition
from training.datasets.base import Dataset
from training.export import export
from training.modelling import architecture
from training.recipe import check
from training.signature import signature_of

Exported = Callable[..., Loaded]


@pytest.fixture
def exported() -> Iterator[Exported]:
    """A small model of a data set with fresh weights, exported and loaded as a version is."""
    opened: list[Loaded] = []

    def make(dataset: Dataset, data: dict[str, Any], model: dict[str, Any], name: str = "tiny") -> Loaded:
        torch.manual_seed(0)
        recipe = check({"name": name, "data": data, "model": model})
        built = build(architecture(recipe, dataset))
        rows = dataset.train.take(slice(0, 200))
        condition = None if rows.condition is None else torch.from_numpy(np.array(rows.condition))
        if condition is not None and condition.dtype == torch.uint8:
            condition = condition.float()
        x = torch.from_numpy(np.array(rows.x)).float()
        built.fit_preprocessing(x, condition)
        with torch.no_grad():
            for parameter in built.parameters():
                parameter += 0.05 * torch.randn(parameter.shape)
        made = export(built.eval(), x, condition, batch_sizes=(1, 4))
        files = dict(made.files)
        if isinstance(dataset.condition, VectorCondition):
            assert dataset.train.condition is not None
            files["prior_sample.safetensors"] = save({"condition": dataset.train.condition[:512]})
        signature = signature_of(
            built,
            x_names=dataset.data.names,
            classes=getattr(dataset.condition, "classes", None),
        )
        load_architecture(files["architecture.json"])
        manifest = Manifest(
            name=name,
            version=1,
            files=tuple(
                FileEntry(path=path, digest=hashlib.sha256(content).hexdigest(), size=len(content))
                for path, content in sorted(files.items())
            ),
            signature=signature,
            family=str(model["family"]),
            parameters=made.parameters,
            graph_errors=made.graph_errors,
            probe=made.probe,
            lineage=Lineage(
                recipe="<script>alert(1)</script>", seed=3, data_digest=dataset.digest, code_version="0.1.0"
            ),
            created="2026-01-01T00:00:00Z",
        )
        opened.append(load_version(manifest, files))
        return opened[-1]

    yield make
    for loaded in opened:
        loaded.close()
