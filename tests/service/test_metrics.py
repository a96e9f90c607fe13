"""Every outcome moves exactly the right counters, once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.service.counting import answered, labels, moved, request_moves
from tests.service.harness import Running, running, until
from tests.service.slow import slow_down

GOOD = {"model": "labels", "x": [[0.0, 1.0], [1.0, 1.0]]}


@pytest.fixture(scope="module")
def service(store_path: Path) -> Iterator[Running]:
    with running(store_path) as started:
        yield started


def test_ok(service: Running) -> None:
    moves = moved(service, lambda: service.client.post("/loglik", json=GOOD))
    assert moves == answered("loglik", "labels", 2, "score")


def test_ok_with_two_engine_operations(service: Running) -> None:
    body = {"model": "labels", "conditions": [0, 1], "num_samples": 3, "return_log_likelihood": True}
    moves = moved(service, lambda: service.client.post("/sample", json=body))
    assert moves == answered("sample", "labels", 6, "decode", "score")


def test_nonfinite(service: Running) -> None:
    body = {"model": "plain", "x": [[1e30], [0.0], [-1e30]]}
    moves = moved(service, lambda: service.client.post("/loglik", json=body))
    who = labels(operation="loglik", model="plain", version="1")
    assert moves == {**answered("loglik", "plain", 3, "score"), ("condflow_nonfinite_outputs_total", who): 2}


@pytest.mark.parametrize(
    ("operation", "body", "model"),
    [
        ("loglik", {**GOOD, "x": [[0.0]]}, "labels"),
        ("loglik", {**GOOD, "draws": 0}, "unknown"),
        ("loglik", {**GOOD, "model": "nobody"}, "unknown"),
        ("loglik", {**GOOD, "model": "x" * 100}, "unknown"),
        ("infer-condition", {"model": "plain", "x": [0.0]}, "plain"),
    ],
)
def test_refused(service: Running, operation: str, body: dict[str, Any], model: str) -> None:
    moves = moved(service, lambda: service.client.post(f"/{operation}", json=body))
    assert moves == request_moves(operation, model, "refused")


@pytest.mark.parametrize("path", ["/nope", "/models/../../etc/passwd", "/sample/3"])
def test_unmatched_routes_share_one_label(service: Running, path: str) -> None:
    assert moved(service, lambda: service.client.get(path)) == request_moves("unknown", "unknown", "refused")


def test_other_routes(service: Running) -> None:
    assert moved(service, lambda: service.client.get("/models")) == request_moves("models", "unknown", "ok")
    assert moved(service, lambda: service.client.get("/readyz")) == request_moves("readyz", "unknown", "ok")


def test_scanners_mint_no_series(service: Running) -> None:
    before = set(service.metrics())
    for place in range(50):
        service.client.get(f"/scan/{place}")
        service.client.post("/loglik", json={**GOOD, "model": f"model-{place}"})
        service.client.post("/loglik", json={**GOOD, "version": f"version-{place}"})
    new = {value for _, pairs in set(service.metrics()) - before for name, value in pairs if name != "le"}
    assert new <= {"unknown", "loglik", "labels", "refused"}


def test_shed_deadline_and_cancelled(store_path: Path) -> None:
    with running(store_path, queue_rows=4) as service, ThreadPoolExecutor(2) as threads:
        slow = slow_down(service, "labels")

        def whole_story() -> None:
            first = threads.submit(lambda: httpx.post(service.url + "/loglik", json=GOOD, timeout=60))
            assert slow.entered.wait(60)
            assert service.client.post("/loglik", json={**GOOD, "x": [[0.0, 0.0]] * 3}).status_code == 503
            late = service.client.post("/loglik", json=GOOD, headers={"X-Request-Timeout-Ms": "30"})
            assert late.status_code == 504
            with pytest.raises(httpx.ReadTimeout):
                httpx.post(service.url + "/loglik", json=GOOD, timeout=0.1)
            until(lambda: service.parts.admission.requests == 1, "the end of the cancelled request")
            slow.hold.set()
            assert first.result().status_code == 200
            until(lambda: service.parts.admission.requests == 0)

        moves = moved(service, whole_story)
        expected = answered("loglik", "labels", 2, "score")
        who = {"operation": "loglik", "model": "labels", "version": "1"}
        for outcome in ("shed", "deadline", "cancelled"):
            expected[("condflow_requests_total", labels(**who, outcome=outcome))] = 1
        expected[("condflow_request_duration_seconds_count", labels(**who))] = 4
        expected[("condflow_shed_total", labels(reason="overloaded"))] = 1
        expected[("condflow_cancelled_total", labels(stage="queue"))] = 1
        assert moves == expected
        samples = service.metrics()
        assert samples[("condflow_queue_rows", ())] == 0
        assert samples[("condflow_queue_oldest_seconds", ())] == 0


def test_names_labels_and_units(service: Running) -> None:
    service.client.post("/loglik", json=GOOD)
    text = service.client.get("/metrics").text
    for name in (
        "condflow_requests_total",
        "condflow_rows_total",
        "condflow_request_duration_seconds",
        "condflow_stage_duration_seconds",
        "condflow_batch_rows",
        "condflow_queue_rows",
        "condflow_queue_oldest_seconds",
        "condflow_shed_total",
        "condflow_cancelled_total",
        "condflow_nonfinite_outputs_total",
        "condflow_model_load_seconds",
        "condflow_model_info",
        "condflow_key_changes_total",
        "condflow_out_of_memory_total",
        "condflow_gpu_memory_bytes",
        "condflow_requests_in_progress",
        "condflow_streams_in_progress",
        "condflow_body_bytes_held",
        "condflow_store_readable",
    ):
        assert f"# TYPE {name}" in text or f"# TYPE {name.removesuffix('_total')}" in text
    used = {name for _, pairs in service.metrics() for name, _ in pairs}
    assert used <= {"operation", "model", "version", "outcome", "stage", "reason", "le"}
    assert "_created" not in text
