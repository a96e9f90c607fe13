"""torch models of every family, exported, published, served and asked over HTTP: the same answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch

from flows import Model
from model_store.manifest import Draft, Lineage
from model_store.store import Store
from tests.flows.models.catalogue import CATALOGUE, random_inputs, random_model
from tests.service.harness import running
from training.export import export
from training.signature import signature_of

NAMES = ("joint-label", "joint-vector", "joint-without-padding", "coupling-vector", "coupling-image", "latent-joint")
ROWS, DRAWS = 5, 8


def publish(store: Store, name: str) -> Model:
    model = random_model(CATALOGUE[name], dtype=torch.float32)
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
    return model


class Asked:
    """One model in torch and behind HTTP, with the same rows for both."""

    def __init__(self, client: httpx.Client, name: str, model: Model) -> None:
        self.client, self.name, self.model = client, name, model
        self.x, self.noise, self.condition = random_inputs(model, ROWS, seed=4)
        self.given = None if self.condition is None else self.condition.tolist()
        self.rows = (self.x if model.data.levels is None else self.x.to(torch.int64)).tolist()

    def ask(self, path: str, **body: Any) -> dict[str, Any]:
        fields = {"model": self.name, **{key: value for key, value in body.items() if value is not None}}
        response = self.client.post(path, json=fields)
        assert response.status_code == 200, response.text
        content: dict[str, Any] = response.json()
        return content

    def check_sample(self) -> None:
        got = self.ask("/sample", conditions=self.given, num_samples=3, seed=1, return_latent=True)
        count = 3 * (1 if self.condition is None else ROWS)
        parts = tuple(torch.tensor(got["latent"][p.name]).reshape(count, *p.shape) for p in self.model.latent)
        condition = None if self.condition is None else self.condition.repeat_interleave(3, dim=0)
        expected = self.model.decode(parts, condition).numpy()
        samples = np.array(got["samples"]).reshape(expected.shape)
        if self.model.data.levels is None:
            np.testing.assert_allclose(samples, expected, rtol=1e-4, atol=1e-4)
            return
        assert (np.abs(samples - expected) <= 1).all()  # a rounding may fall to the other side
        assert (samples != expected).mean() < 0.02

    def check_loglik(self) -> None:
        got = self.ask("/loglik", x=self.rows, condition=self.given, draws=DRAWS)
        assert np.isfinite(got["log_likelihood"]).all()
        assert got["space"] == self.model.space
        assert got["estimator"] == ("importance" if self.model.noise else "exact")
        if not self.model.noise:
            expected = self.model.log_weight(self.x, (), self.condition).numpy()
            np.testing.assert_allclose(got["log_likelihood"], expected, rtol=1e-4, atol=1e-3)

    def check_encode(self) -> None:
        if "encode" not in self.model.operations or self.model.noise:
            return
        latent = self.ask("/encode", x=self.rows, condition=self.given)["latent"]
        for part, value in zip(self.model.latent, self.model.encode(self.x, (), self.condition), strict=True):
            np.testing.assert_allclose(latent[part.name], value.numpy(), rtol=1e-3, atol=1e-3)

    def check_infer(self) -> None:
        if self.model.condition.kind == "label":
            posterior = np.array(self.ask("/infer-condition", x=self.rows, draws=DRAWS)["model_posterior"])
            np.testing.assert_allclose(posterior.sum(axis=1), 1, rtol=1e-6)
            if not self.model.noise:
                expected = torch.softmax(self.model.score(self.x, (), None), dim=1).numpy()
                np.testing.assert_allclose(posterior, expected, rtol=1e-2, atol=1e-5)
        elif "infer" in self.model.operations:
            got = self.ask("/infer-condition", x=self.rows, draws=DRAWS)
            assert np.shape(got["condition"]) == np.shape(got["std"]) == np.shape(self.given)
            assert (np.array(got["std"]) > 0).all()


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_http_answers_what_torch_says(name: str, tmp_path: Path) -> None:
    with torch.enable_grad():
        model = publish(Store.open(tmp_path / "models"), name)
    with running(tmp_path / "models") as service:
        asked = Asked(service.client, name, model)
        asked.check_sample()
        asked.check_loglik()
        asked.check_encode()
        asked.check_infer()
