"""torch models of every family, exported, published, served by a process, and asked over HTTP: the same answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from torch import Tensor

from flows import Model
from model_store.manifest import Draft, Lineage
from model_store.store import Store
from tests.flows.models.catalogue import CATALOGUE, random_inputs, random_model
from tests.service.test_process import process
from training.export import export
from training.signature import signature_of

NAMES = (
    "joint-label",
    "joint-vector",
    "joint-without-padding",
    "coupling-vector",
    "coupling-image",
    "latent-joint",
)
MODELS: dict[str, Model] = {}


def publish(store: Store, name: str) -> None:
    model = MODELS[name] = random_model(CATALOGUE[name], dtype=torch.float32)
    x, _, condition = random_inputs(model, 16)
    made = export(model, x, condition, batch_sizes=(1, 7))
    draft = Draft(
        name=name,
        signature=signature_of(model),
        family=model.config.family,
        parameters=made.parameters,
        graph_errors=made.graph_errors,
        probe=made.probe,
        lineage=Lineage(recipe="random", seed=0, data_digest="0" * 64, code_version="0"),
    )
    store.publish(draft, made.files)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    path = tmp_path_factory.mktemp("store") / "models"
    store = Store.open(path)
    for name in NAMES:
        publish(store, name)
    with process(path) as service, httpx.Client(base_url=service.url, timeout=60) as client:
        yield client
        assert service.end() == 0


def ask(client: httpx.Client, path: str, **body: Any) -> dict[str, Any]:
    response = client.post(path, json={key: value for key, value in body.items() if value is not None})
    assert response.status_code == 200, response.text
    content: dict[str, Any] = response.json()
    return content


def inputs_of(model: Model, rows: int = 5) -> tuple[Tensor, tuple[Tensor, ...], Tensor | None, Any]:
    x, noise, condition = random_inputs(model, rows, seed=4)
    return x, noise, condition, None if condition is None else condition.tolist()


def listed(x: Tensor, model: Model) -> Any:
    return x.to(torch.int64).tolist() if model.data.levels is not None else x.tolist()


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_sample_is_decode(client: httpx.Client, name: str) -> None:
    model = MODELS[name]
    _, _, condition, given = inputs_of(model)
    got = ask(client, "/sample", model=name, conditions=given, num_samples=3, seed=1, return_latent=True)
    rows = 3 if condition is None else 15
    parts = tuple(torch.tensor(got["latent"][part.name]).reshape(rows, *part.shape) for part in model.latent)
    repeated = None if condition is None else condition.repeat_interleave(3, dim=0)
    expected = model.decode(parts, repeated).numpy()
    samples = np.array(got["samples"]).reshape(expected.shape)
    if model.data.levels is None:
        np.testing.assert_allclose(samples, expected, rtol=1e-4, atol=1e-4)
    else:
        assert (np.abs(samples - expected) <= 1).all()
        assert (samples != expected).mean() < 0.02


@pytest.mark.parametrize(
    "name", [name for name in NAMES if name.startswith("coupling") or name == "joint-without-padding"]
)
@torch.no_grad()
def test_exact_loglik_and_encode(client: httpx.Client, name: str) -> None:
    model = MODELS[name]
    x, noise, condition, given = inputs_of(model)
    got = ask(client, "/loglik", model=name, x=listed(x, model), condition=given)
    assert got["estimator"] == "exact"
    expected = model.log_weight(x, noise, condition).numpy()
    np.testing.assert_allclose(got["log_likelihood"], expected, rtol=1e-4, atol=1e-3)
    if "encode" in model.operations:
        latent = ask(client, "/encode", model=name, x=listed(x, model), condition=given)["latent"]
        for part, value in zip(model.latent, model.encode(x, noise, condition), strict=True):
            np.testing.assert_allclose(latent[part.name], value.numpy(), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["joint-label", "joint-without-padding", "latent-joint"])
@torch.no_grad()
def test_labels_are_read_back(client: httpx.Client, name: str) -> None:
    model = MODELS[name]
    x, noise, _, _ = inputs_of(model)
    got = ask(client, "/infer-condition", model=name, x=listed(x, model), draws=8)
    posterior = np.array(got["model_posterior"])
    np.testing.assert_allclose(posterior.sum(axis=1), 1, rtol=1e-6)
    assert got["index"] == posterior.argmax(axis=1).tolist()
    if not model.noise:
        expected = torch.softmax(model.score(x, noise, None), dim=1).numpy()
        np.testing.assert_allclose(posterior, expected, rtol=1e-2, atol=1e-5)


def test_vectors_are_read_back(client: httpx.Client) -> None:
    model = MODELS["joint-vector"]
    x, _, _, _ = inputs_of(model)
    got = ask(client, "/infer-condition", model="joint-vector", x=listed(x, model), draws=16)
    assert np.shape(got["condition"]) == np.shape(got["std"]) == (5, 2)
    assert (np.array(got["std"]) > 0).all()


def test_nothing_of_the_store_is_hidden(client: httpx.Client) -> None:
    listed_models = client.get("/models").json()["models"]
    assert {model["name"] for model in listed_models} == set(NAMES)
