"""Small models of every family as versions: what export makes of them, and the engines of it."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch

from inference.graph_checks import check_graph
from inference.onnx_engine import OnnxEngine
from inference.torch_engine import TorchEngine
from inference.weights import read_tensors
from model_store.manifest import Manifest
from model_store.signature import ImageCondition, LabelCondition, NoCondition, Operation, Signature
from tests.flows.models.catalogue import CATALOGUE, random_model
from tests.inference.graphs import manifest
from training.export import Export, export
from training.signature import signature_of

NAMES = (
    "joint-label",
    "joint-vector",
    "joint-integers",
    "coupling-none",
    "coupling-label",
    "coupling-vector",
    "coupling-image",
    "latent-joint",
    "latent-coupling",
)


@cache
def exported(name: str) -> tuple[Signature, Export]:
    model = random_model(CATALOGUE[name], dtype=torch.float32)
    return signature_of(model), export(model, batch_sizes=(1, 64))


def manifest_of(name: str, **fields: Any) -> Manifest:
    signature, made = exported(name)
    known = {"probe": made.probe, "graph_errors": made.graph_errors, "precision_errors": made.precision_errors}
    return manifest(signature, made.files, **{**known, "family": CATALOGUE[name].family, **fields})


@cache
def onnx_engine(name: str) -> OnnxEngine:
    signature, made = exported(name)
    tensors = read_tensors(made.files["weights.safetensors"], "weights.safetensors")
    graphs = {operation: made.files[f"{operation}.onnx"] for operation in signature.operations}
    needed = {of: check_graph(graphs[of], f"{of}.onnx", of, signature, tensors) for of in graphs}
    return OnnxEngine(signature, graphs, needed)


def torch_engine(name: str, **options: Any) -> TorchEngine:
    signature, made = exported(name)
    tensors = read_tensors(made.files["weights.safetensors"], "weights.safetensors")
    arrays = {key: tensors.array(key) for key in tensors.entries}
    return TorchEngine(signature, made.files["architecture.json"], arrays, **{"device": "cpu", **options})


def inputs(signature: Signature, operation: Operation, rows: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Rows within what the model was made for."""
    rng = np.random.default_rng(seed)
    parts = {part.name: part for part in (*signature.latent, *signature.noise)}
    made: dict[str, np.ndarray] = {}
    for name in signature.inputs(operation):
        if name in parts and parts[name].distribution == "normal":
            made[name] = rng.standard_normal((rows, *parts[name].shape)).astype(np.float32)
        elif name in parts:
            made[name] = rng.random((rows, *parts[name].shape), dtype=np.float32)
        elif name == "x" and signature.data.is_integer:
            made[name] = rng.integers(0, signature.data.levels, (rows, *signature.data.shape)).astype(np.uint8)
        elif name == "x":
            made[name] = 0.1 + 0.8 * rng.random((rows, *signature.data.shape), dtype=np.float32)
        elif name == "embedding":
            assert signature.embedding is not None
            made[name] = rng.standard_normal((rows, *signature.embedding)).astype(np.float32)
        else:
            made[name] = _conditions(signature, rng, rows)
    return made


def _conditions(signature: Signature, rng: np.random.Generator, rows: int) -> np.ndarray:
    condition = signature.condition
    assert not isinstance(condition, NoCondition)
    if isinstance(condition, LabelCondition):
        return rng.integers(0, len(condition.classes), rows)
    if isinstance(condition, ImageCondition):
        return rng.integers(0, 17, (rows, *condition.array.shape)).astype(np.float32)
    return (3 + 2 * rng.standard_normal((rows, *condition.array.shape))).astype(np.float32)
