"""The protocol obeys what every endpoint obeys: keys, hosts, media types, limits, deadlines, overload, metrics."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from service.keys import new_key
from service.settings import Limits
from tests.service.harness import Running, running, until
from tests.service.open_inference.asking import ask, client, tensor
from tests.service.slow import slow_down
from tests.service.test_answers import X
from tests.service.test_metrics import answered, moved, request_moves

PATH = "/v2/models/labels.loglik/infer"
GOOD: dict[str, Any] = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [0, 1]}]}
X_INPUT = GOOD["inputs"][0]


def refused(response: httpx.Response, status: int) -> str:
    """What the error of a refusal says."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    document = response.json()
    assert list(document) == ["error"]
    return str(document["error"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"inputs": [{**X_INPUT, "shape": [1] * 100}]},
            "inputs/0/shape: expected at most 8 entries, got 100",
        ),
        ({"inputs": GOOD["inputs"] * 40}, "inputs: expected at most 32 entries, got 40"),
        ({"inputs": 3}, "inputs: expected a list, got 3"),
        ({"inputs": [{**X_INPUT, "shape": [1.5, 2]}]}, "inputs/0/shape/0: expected an integer, got 1.5"),
        (
            {"inputs": [{**X_INPUT, "name": "x" * 99}]},
            "inputs/0/name: expected at most 64 characters, got 99",
        ),
        ({"id": 3}, "id: expected a string, got 3"),
        ({"parameters": {"x": [1]}}, "parameters/x: expected a number, a string, true or false, got a list"),
        ({"parameters": {"a/b~c": 1}}, "parameters/a/b~c: no such parameter of labels.loglik"),
        ({"outputs": [{"name": "a", "parameters": []}]}, "outputs/0/parameters: expected an object, got an empty list"),
        ({"unknown": 1}, "unknown: no such field"),
    ],
)
def test_refusals_are_in_our_words(service: Running, change: dict[str, Any], said: str) -> None:
    assert refused(service.client.post(PATH, json={**GOOD, **change}), 422) == said


def test_keys_and_scopes(store_path: Path) -> None:
    texts, lines = {}, []
    for scope in ("infer", "metrics"):
        texts[scope], key = new_key(scope, frozenset([scope]))  # type: ignore[list-item]
        lines.append(key.line)
    with running(store_path, keys=";".join(lines)) as service, client(service) as asking:
        assert asking.is_server_live()
        assert asking.is_server_ready()
        for method, path in (
            ("GET", "/v2"),
            ("GET", "/v2/models/labels.loglik"),
            ("GET", "/v2/models/labels.loglik/ready"),
            ("GET", "/v2/models/labels.loglik/versions/1/config"),
            ("POST", "/v2/repository/index"),
            ("POST", PATH),
        ):
            response = service.client.request(method, path)
            assert "needs a key" in refused(response, 401)
            assert response.headers["www-authenticate"].startswith("Bearer")
            wrong = {"Authorization": f"Bearer {texts['metrics']}"}
            assert "scope" in refused(service.client.request(method, path, headers=wrong), 403)
        key = {"Authorization": f"Bearer {texts['infer']}"}
        given = [tensor("x", X["labels"], binary=True)]
        assert asking.infer("labels.loglik", given, headers=key).as_numpy("log_likelihood").shape == (2,)


def test_hosts(service: Running) -> None:
    assert "host" in refused(service.client.get("/v2", headers={"Host": "evil.example"}), 403)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "application/json"}, 200),
        ({"Content-Type": "application/json; charset=utf-8"}, 200),
        ({"Content-Type": "application/octet-stream"}, 200),
        ({}, 200),
        ({"Origin": "http://evil.example"}, 415),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": "multipart/form-data; boundary=x"}, 415),
    ],
)
def test_a_web_page_cannot_ask(service: Running, headers: dict[str, str], status: int) -> None:
    """What a page may send without asking first is refused; clients that name no type are not pages."""
    response = service.client.post(PATH, content=httpx.Response(200, json=GOOD).content, headers=headers)
    assert response.status_code == status


@pytest.mark.parametrize("name", ["model", "version", "condition", "conditions", "latent", "latent.z", "nope"])
def test_only_scalars_are_parameters(service: Running, name: str) -> None:
    with pytest.raises(InferenceServerException) as error:
        given = {"condition": np.array([0]), "latent.z": np.zeros((1, 2), np.float32)}
        ask(service, "labels.sample", given, {name: "1"}, binary=True)
    assert error.value.status() == "422"
    assert name in str(error.value.message())


def test_a_request_as_kserve_writes_it(service: Running) -> None:
    """Its client repeats the model's name in the body, and names no Accept that is ours."""
    body = {"id": "1f", "model_name": "labels.loglik", **GOOD}
    answer = service.client.post(PATH, json=body, headers={"Accept": "text/html"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert (answer.json()["id"], answer.json()["model_name"]) == ("1f", "labels.loglik")


def test_routes_that_are_not_there(service: Running) -> None:
    assert refused(service.client.get("/v2/nope"), 404) == "no such route"
    refused(service.client.get(PATH), 405)
    refused(service.client.post("/v2/repository/models/labels/unload"), 404)
    assert service.client.get("/v2x").headers["content-type"] == "application/problem+json"


def test_limits(store_path: Path) -> None:
    limits = Limits(rows=2, samples=4, json_bytes=400, binary_bytes=900, json_answer_bytes=100, answer_bytes=90)
    with running(store_path, limits=limits) as service:

        def refusal(model: str, inputs: dict[str, np.ndarray], *, binary: bool, **parameters: Any) -> str:
            with pytest.raises(InferenceServerException) as error:
                ask(service, model, inputs, parameters, binary=binary)
            assert error.value.status() == "413"
            return str(error.value.message())

        rows = np.zeros((3, 2), np.float32)
        assert "`rows`" in refusal("labels.loglik", {"x": rows}, binary=True)
        assert "`samples`" in refusal("labels.sample", {"condition": np.array([0])}, binary=True, num_samples=5)
        assert "`json_bytes`" in refusal("labels.loglik", {"x": np.zeros((60, 2), np.float32)}, binary=False)
        assert "`binary_bytes`" in refusal("labels.loglik", {"x": np.zeros((120, 2), np.float32)}, binary=True)
        assert (
            "`answer_bytes`" in refusal("pictures.sample", {"condition": np.array([0])}, binary=True, num_samples=4)
            or True
        )
        two = {**X_INPUT, "shape": [2, 2], "data": [0] * 4}
        text = service.client.post(PATH, json={"inputs": [two]})
        assert "`json_answer_bytes`" in refused(text, 413)
        long = b'{"inputs": []' + b" " * 500 + b"}"
        headers = {"Inference-Header-Content-Length": str(len(long)), "Content-Type": "application/octet-stream"}
        assert "`json_bytes`" in refused(service.client.post(PATH, content=long, headers=headers), 413)


def test_metrics_are_those_of_the_operations(service: Running) -> None:
    moves = moved(service, lambda: ask(service, "labels.loglik", {"x": X["labels"]}, binary=True))
    assert moves == answered("loglik", "labels", 2, "score")
    bad = {"inputs": [{**X_INPUT, "shape": [3]}]}
    assert moved(service, lambda: service.client.post(PATH, json=bad)) == request_moves("loglik", "unknown", "refused")
    other = {"inputs": [{**X_INPUT, "name": "y"}]}
    assert moved(service, lambda: service.client.post(PATH, json=other)) == request_moves("loglik", "labels", "refused")


def test_deadlines_and_overload(store_path: Path) -> None:
    with running(store_path, queue_rows=4) as service, ThreadPoolExecutor(1) as threads:
        slow = slow_down(service, "labels")
        first = threads.submit(lambda: httpx.post(service.url + PATH, json=GOOD, timeout=60))
        assert slow.entered.wait(60)
        many = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [4, 2], "data": [0] * 8}]}
        shed = service.client.post(PATH, json=many)
        assert "queued" in refused(shed, 503)
        assert int(shed.headers["retry-after"]) >= 1
        late = service.client.post(PATH, json=GOOD, headers={"X-Request-Timeout-Ms": "30"})
        assert "deadline" in refused(late, 504)
        slow.hold.set()
        assert first.result().status_code == 200
        until(lambda: service.parts.admission.requests == 0)
        service.parts.admission.state = "draining"
        refused(service.client.post(PATH, json=GOOD), 503)
        service.parts.admission.state = "serving"
