"""Pointers of refusals lead to the field (RFC 6901), and their prose says its name as the client wrote it."""

from __future__ import annotations

import numpy as np
import pytest

from tests.service.harness import Running
from tests.service.refusals import GOOD, JSON, problem


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ('{"model": "plain", "latent": {"z": [[0]], "z": [[1]]}}', "/latent/z"),
        ('{"model": "plain", "model": "labels"}', "/model"),
        ('{"model": "plain", "latent": {"a/b~": 0, "a/b~": 1}}', "/latent/a~1b~0"),
        ('{"model": "plain", "x": [{"a": 1}, {"y": [1, {"b": 2, "b": 3}]}]}', "/x/1/y/1/b"),
    ],
)
def test_repeated_names_are_found_where_they_are(service: Running, body: str, pointer: str) -> None:
    document = problem(service.client.post("/sample", content=body, headers=JSON), 400, pointer)
    assert repr(pointer.rpartition("/")[2].replace("~1", "/").replace("~0", "~")) in document["detail"]


def test_names_with_slashes_and_tildes(service: Running) -> None:
    document = problem(service.client.post("/loglik", json={**GOOD, "a/b~c": 1}), 422, "/a~1b~0c")
    assert document["detail"] == "a/b~c: no such field"
    document = problem(service.client.post("/sample", json={"model": "plain", "latent": {"a/b~c": 1}}), 422)
    assert document["errors"][0]["pointer"] == "/latent/a~1b~0c"
    assert document["detail"].startswith("latent/a/b~c: ")
    beside = service.client.post("/loglik?a%2Fb~c=1", json=GOOD)
    assert problem(beside, 422, "/a~1b~0c")["detail"].startswith("a/b~c: ")


def test_an_empty_list_is_called_so(service: Running) -> None:
    body = {"model": "plain", "num_samples": 2, "summary": []}
    document = problem(service.client.post("/sample", json=body), 422, "/summary")
    assert document["detail"].endswith("got an empty list")
    body["summary"] = {}  # type: ignore[assignment]
    assert problem(service.client.post("/sample", json=body), 422)["detail"].endswith("got an object")


def test_rows_beyond_single_precision_are_unreliable(service: Running) -> None:
    body = {"model": "padded", "x": [[0.0], [1e10], [3e38]], "condition": 0, "draws": 100}
    answer = service.client.post("/loglik", json=body).json()
    assert answer["unreliable"] == [False, True, True]
    assert answer["effective_sample_size"][1] is None and answer["std_error"][1] is None
    assert np.isfinite(answer["log_likelihood"][1])
    listed = {(entry["field"], *entry["index"]) for entry in answer["nonfinite"]}
    assert {("effective_sample_size", 1), ("std_error", 1)} <= listed
