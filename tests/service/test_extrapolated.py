"""A condition far outside the training rows does not go by in silence, whatever the media type."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import orjson
import pytest

from tests.service.harness import Running

FAR, NEAR = [40.0, 0.0], [0.5, 0.0]
ASKED: dict[str, dict[str, Any]] = {
    "sample": {"conditions": [NEAR, FAR]},
    "loglik": {"condition": [NEAR, FAR], "x": [[0.0], [0.0]]},
    "encode": {"condition": [NEAR, FAR], "x": [[0.0], [0.0]]},
}


@pytest.mark.parametrize("operation", ASKED)
def test_of_several_conditions(service: Running, operation: str) -> None:
    body = {"model": "vector", **ASKED[operation]}
    assert service.client.post(f"/{operation}", json=body).json()["extrapolated"] == [False, True]
    binary = service.client.post(f"/{operation}", json=body, headers={"Accept": "application/x-npz"})
    with np.load(io.BytesIO(binary.content), allow_pickle=False) as arrays:
        assert arrays["extrapolated"].tolist() == [False, True]


@pytest.mark.parametrize(("condition", "expected"), [(NEAR, False), (FAR, True)])
def test_of_one_condition(service: Running, condition: list[float], expected: bool) -> None:
    body = {"model": "vector", "condition": condition, "num_samples": 2}
    assert service.client.post("/sample", json=body).json()["extrapolated"] is expected
    binary = service.client.post("/sample", json=body, headers={"Accept": "application/x-npy"})
    assert binary.headers["x-condflow-extrapolated"] == str(expected).lower()
    stream = service.client.post("/sample", json=body, headers={"Accept": "application/x-ndjson"})
    assert orjson.loads(stream.content.splitlines()[0])["extrapolated"] is expected


@pytest.mark.parametrize("name", ["vector-joint", "labels"])
def test_a_version_without_a_range_says_nothing(service: Running, name: str) -> None:
    condition = 0 if name == "labels" else [40.0]
    answer = service.client.post("/sample", json={"model": name, "condition": condition})
    assert answer.status_code == 200
    assert "extrapolated" not in answer.json()
