"""From fitted weights to a version: export, load what was exported, evaluate that, and only then publish it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from safetensors.numpy import save

from flows.models.base import Model
from inference.loaded import Loaded
from inference.loading import load_version
from model_store import Draft, Manifest, Store
from model_store.code_version import code_version
from model_store.manifest import Lineage, unpublished
from model_store.signature import VectorCondition
from training.datasets.base import Dataset
from training.evaluation.evaluate import Evaluation, evaluate
from training.evaluation.history import stem
from training.export import Export, export
from training.phases import PHASES
from training.recipe import Recipe, recorded
from training.signature import signature_of

PRIOR_SAMPLE = "prior_sample.safetensors"
PRIOR_ROWS = 4096
EXAMPLE_ROWS = 256


def publish(
    model: Model,
    recipe: Recipe,
    dataset: Dataset,
    store: Store,
    name: str,
    *,
    histories: Mapping[str, bytes],
    parents: tuple[str, ...] = (),
) -> Manifest:
    """Publish `model` under `name`; what is measured for the card is the exported version itself."""
    exported = _export(model, dataset)
    files = dict(exported.files)
    if model.config.family == "coupling" and isinstance(dataset.condition, VectorCondition):
        assert dataset.train.condition is not None
        files[PRIOR_SAMPLE] = save({"condition": np.ascontiguousarray(dataset.train.condition[:PRIOR_ROWS])})
    draft = _draft(model, exported, recipe, dataset, name, parents)
    loaded = load_version(unpublished(draft, files), files)
    try:
        evaluation = evaluate(loaded, dataset, recipe.evaluation, histories=histories, seed=recipe.seed)
    finally:
        loaded.close()
    return store.publish(evaluated(draft, evaluation), {**files, **evaluation.files})


def evaluated(draft: Draft, evaluation: Evaluation) -> Draft:
    """The draft with what an evaluation says about it."""
    return draft.model_copy(
        update={
            "metrics": evaluation.metrics,
            "calibration": evaluation.calibration,
            "validation_scores": evaluation.validation_scores,
            "class_prior": evaluation.class_prior,
        }
    )


def _export(model: Model, dataset: Dataset) -> Export:
    rows = dataset.validation.take(slice(0, EXAMPLE_ROWS))
    x = torch.from_numpy(np.array(rows.x, dtype=np.float32))
    if rows.condition is None:
        return export(model, x)
    labels = rows.condition.ndim == 1
    return export(model, x, torch.from_numpy(np.array(rows.condition, dtype=np.int64 if labels else np.float32)))


def _draft(
    model: Model, exported: Export, recipe: Recipe, dataset: Dataset, name: str, parents: tuple[str, ...]
) -> Draft:
    array = dataset.condition.array if isinstance(dataset.condition, VectorCondition) else None
    signature = signature_of(
        model,
        x_names=dataset.data.names,
        condition_names=None if array is None else array.names,
        classes=getattr(dataset.condition, "classes", None),
        condition_rows=dataset.train.condition,
    )
    return Draft(
        name=name,
        signature=signature,
        family=model.config.family,
        parameters=exported.parameters,
        graph_errors=exported.graph_errors,
        precision_errors=exported.precision_errors,
        probe=exported.probe,
        lineage=Lineage(
            recipe=recipe.name,
            seed=recipe.seed,
            data_digest=dataset.digest,
            code_version=code_version(),
            parents=parents,
            config=recorded(recipe),
        ),
    )


def warm_weights(store: Store, reference: str) -> tuple[dict[str, torch.Tensor], str]:
    """The weights of `NAME[@VERSION]` and how lineage names that version."""
    from safetensors.torch import load

    name, _, version = reference.partition("@")
    manifest = store.resolve(name, version or None)
    return load(store.read(manifest, "weights.safetensors")), f"{manifest.name}@{manifest.version}"


def histories_of(store: Store, manifest: Manifest) -> dict[str, bytes]:
    """The training histories that a version holds, by phase."""
    paths = {phase: f"{stem(phase)}.csv" for phase in PHASES}
    return {phase: store.read(manifest, path) for phase, path in paths.items() if manifest.file(path)}


def load_reference(store: Store, reference: str) -> tuple[Loaded, Manifest]:
    """The version `NAME[@VERSION]`, loaded as the service loads it."""
    name, _, version = reference.partition("@")
    manifest = store.resolve(name, version or None)
    return load_version(manifest, lambda path: store.read(manifest, path)), manifest
