"""Sound bodies with one part made unsound, by hypothesis: refused or answered, never a 5xx, and nobody is harmed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from model_store.store import Store
from tests.attacks.bodies import mutations
from tests.attacks.bodies.corpus import JSON, NPY, NPZ
from tests.inference import handmade
from tests.service.harness import Running, running
from tests.service.versions import publish

DAILY, FULL = 60, 3000
MEDIA = ["application/json", "application/x-npz", "application/x-npy", "image/png", "application/x-ndjson"]
GOOD: dict[str, Any] = {"model": "labels", "x": [[0.5, 1.0], [2.0, -1.0]], "condition": [0, 2]}
SOUND = {
    "loglik": {**GOOD, "draws": 2, "seed": 3, "class_prior": [0.2, 0.3, 0.5]},
    "infer-condition": {"model": "labels", "x": [[0.5, 1.0]], "class_prior": [0.2, 0.3, 0.5], "draws": 1},
    "encode": {"model": "labels", "x": [[0.5, 1.0]], "condition": "left", "seed": 0, "version": 1},
    "sample": {
        "model": "labels",
        "conditions": [0, "left"],
        "num_samples": 3,
        "temperature": 0.5,
        "seed": 1,
        "latent": {"z": [[0.0, 1.0], [1.0, 0.0], [0.0, 0.0]]},
        "summary": ["mean", "quantiles"],
        "quantile_levels": [0.5],
    },
}
Bodies = st.SearchStrategy[bytes]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    path = tmp_path_factory.mktemp("store") / "models"
    store = Store.open(path)
    publish(store, "labels", handmade.labels())
    publish(store, "grey", handmade.images())
    with running(path, fixed_rows=64) as started:  # answers are the same to the bit
        yield started


@pytest.fixture(scope="module")
def expected(service: Running) -> Any:
    return service.client.post("/loglik", json=GOOD).json()


def check(service: Running, expected: Any, response: httpx.Response) -> None:
    """Answered, or refused by a problem document; and the next question is answered as ever."""
    status = response.status_code
    if status == 200 and response.headers["content-type"] == "application/x-ndjson":
        last = json.loads(response.content.splitlines()[-1])
        assert last["complete"] or last["error"]["status"] < 500, last
    assert status == 200 or 400 <= status < 500 or status in (503, 504), response.text
    if status != 200:
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["status"] == status
    assert service.client.post("/loglik", json=GOOD).json() == expected


def bounded(examples: int) -> settings:
    health = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
    phases = [Phase.generate, Phase.shrink]
    return settings(max_examples=examples, deadline=None, suppress_health_check=health, database=None, phases=phases)


def fuzz(
    service: Running, expected: Any, examples: int, bodies: st.SearchStrategy[bytes], path: str, media: str
) -> None:
    params = {} if media == JSON else {"model": "labels"}

    @bounded(examples)
    @given(bodies, st.sampled_from(MEDIA))
    def once(body: bytes, accept: str) -> None:
        headers = {"Content-Type": media, "Accept": accept}
        check(service, expected, service.client.post(path, params=params, content=body, headers=headers))

    once()


sizes = pytest.mark.parametrize(
    "examples", [DAILY, pytest.param(FULL, marks=[pytest.mark.full, pytest.mark.timeout(3000)])]
)


@sizes
@pytest.mark.parametrize("operation", sorted(SOUND))
def test_json(service: Running, expected: Any, operation: str, examples: int) -> None:
    fuzz(service, expected, examples, mutations.json_bodies(SOUND[operation]), f"/{operation}", JSON)


@sizes
@pytest.mark.parametrize("operation", ["loglik", "infer-condition"])
def test_npy(service: Running, expected: Any, operation: str, examples: int) -> None:
    fuzz(service, expected, examples, mutations.npy_bodies(), f"/{operation}", NPY)


@sizes
@pytest.mark.parametrize("operation", ["loglik", "infer-condition"])
def test_npz(service: Running, expected: Any, operation: str, examples: int) -> None:
    fuzz(service, expected, examples, mutations.npz_bodies(), f"/{operation}", NPZ)


@sizes
def test_png(service: Running, expected: Any, examples: int) -> None:
    fuzz(service, expected, examples, mutations.png_bodies(), "/loglik", JSON)
