"""Each way that a request can end moves its own counters, once: refusals, sheds, failures, streams, and leaving."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from inference.engine import EngineError, EngineOutOfMemory
from model_store.store import Store
from service.settings import Limits
from tests.inference import handmade
from tests.service.counting import Moves, answered, labels, moved, request_moves
from tests.service.harness import Running, running, until
from tests.service.slow import slow_down
from tests.service.versions import damage, publish

GOOD: dict[str, Any] = {"model": "labels", "x": [[0.0, 1.0]]}
STREAM = {"model": "labels", "condition": 0, "num_samples": 20_000, "seed": 1}
LINES = {"Accept": "application/x-ndjson"}
LIMITS = Limits(rows=2, json_bytes=2000)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store.open(tmp_path / "models")
    publish(store, "labels", handmade.labels())
    return store


@contextmanager
def serving(store: Store, **settings: Any) -> Iterator[Running]:
    with running(store.backend.root, **settings) as service:  # type: ignore[attr-defined]
        yield service


def posted(service: Running, body: Any = GOOD, path: str = "/loglik", **headers: str) -> Callable[[], httpx.Response]:
    return lambda: service.client.post(path, json=body, headers=headers)


def shed(operation: str, model: str, reason: str) -> Moves:
    return {**request_moves(operation, model, "shed"), ("condflow_shed_total", labels(reason=reason)): 1}


def left(operation: str, model: str, stage: str) -> Moves:
    return {**request_moves(operation, model, "cancelled"), ("condflow_cancelled_total", labels(stage=stage)): 1}


def test_413_and_the_other_refusals(store: Store) -> None:
    with serving(store, limits=LIMITS, body_timeout_s=0.05) as service:
        known = request_moves("loglik", "labels", "refused")
        unknown = request_moves("loglik", "unknown", "refused")
        assert moved(service, posted(service, {**GOOD, "x": [[0.0, 1.0]] * 3})) == known
        assert moved(service, posted(service, {**GOOD, "pad": "x" * 3000})) == unknown
        assert moved(service, posted(service, {**GOOD, "version": 7})) == unknown
        assert moved(service, posted(service, GOOD, Accept="text/html")) == unknown
        text = {"Content-Type": "text/plain"}
        assert moved(service, lambda: service.client.post("/loglik", content=b"1", headers=text)) == unknown

        def half_a_body() -> None:
            with socket.create_connection(("127.0.0.1", service.port), timeout=60) as connection:
                connection.sendall(b"POST /loglik HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n")
                connection.sendall(b"Content-Length: 9\r\n\r\n{")
                assert connection.recv(65536).startswith(b"HTTP/1.1 408")
                until(lambda: service.parts.admission.requests == 0)

        assert moved(service, half_a_body) == unknown


def test_503_for_each_reason(store: Store) -> None:
    publish(store, "labels", handmade.padded_labels(), alias=None)
    damage(store, "labels", 2, "score.onnx")
    with serving(store) as service:
        assert service.client.post("/loglik", json={**GOOD, "version": 2}).status_code == 503
        assert moved(service, posted(service, {**GOOD, "version": 2})) == shed("loglik", "unknown", "unloadable")
        admission = service.parts.admission
        most, admission.max_requests = admission.max_requests, 0
        assert moved(service, posted(service)) == shed("loglik", "unknown", "overloaded")
        admission.max_requests = most
        most, admission.max_streams = admission.max_streams, 0
        assert moved(service, posted(service, STREAM, "/sample", **LINES)) == shed("sample", "labels", "overloaded")
        admission.max_streams = most
        registry = service.parts.registry
        registry._loads.failures.clear()
        registry._wait_s = 0.0
        moves = moved(service, posted(service, {**GOOD, "version": 2}))
        until(lambda: not registry.pending, "the end of the load")
        loads = [name for name, _ in moves if name.startswith("condflow_model_load")]
        for name, pairs in list(moves):
            if name in loads:
                del moves[(name, pairs)]
        assert moves == shed("loglik", "unknown", "loading")
        admission.state = "draining"
        assert moved(service, posted(service)) == shed("loglik", "unknown", "draining")


def test_an_engine_that_fails(store: Store) -> None:
    with serving(store) as service:
        slow = slow_down(service, "labels")
        slow.hold.set()
        slow.failure = EngineError("broken")
        assert moved(service, posted(service)) == request_moves("loglik", "labels", "error")
        slow.failure = EngineOutOfMemory("full")
        assert moved(service, posted(service)) == {
            **shed("loglik", "labels", "overloaded"),
            ("condflow_out_of_memory_total", labels(operation="score", model="labels", version="1")): 1,
        }
        late = {"X-Request-Timeout-Ms": "50"}
        slow.failure = None
        slow.hold.clear()
        slow.entered.clear()

        def too_late() -> None:
            assert service.client.post("/loglik", json=GOOD, headers=late).status_code == 504
            slow.hold.set()
            until(lambda: ("condflow_batch_rows_count", calls) in service.metrics())

        calls = labels(operation="score", model="labels", version="1")
        moves = moved(service, too_late)
        assert moves == {
            **request_moves("loglik", "labels", "deadline"),
            ("condflow_batch_rows_count", calls): 1,  # it was in the engine already
        }


def stream_moves(outcome: str, calls: int) -> Moves:
    who = labels(operation="decode", model="labels", version="1")
    return {**request_moves("sample", "labels", outcome), ("condflow_batch_rows_count", who): calls}


def engine_calls(moves: Moves) -> int:
    who = labels(operation="decode", model="labels", version="1")
    return int(moves[("condflow_batch_rows_count", who)])


def test_a_stream_counts_once_with_all_its_rows(store: Store) -> None:
    with serving(store) as service:
        moves = moved(service, posted(service, STREAM, "/sample", **LINES))
        calls = engine_calls(moves)
        assert calls > 1
        assert moves == {**answered("sample", "labels", 20_000, "decode"), **stream_moves("ok", calls)}


def test_a_stream_that_fails_after_its_200_counts_as_what_failed(store: Store) -> None:
    with serving(store, stream_timeout_ms=1000) as service:
        slow = slow_down(service, "labels")
        slow.hold.set()
        for error, outcome in ((EngineError("broken"), "error"), (EngineOutOfMemory("full"), "shed")):

            def fail_midway(error: Exception = error) -> None:
                slow.failure = None
                asked = {**STREAM, "num_samples": 3_000_000}
                with service.client.stream("POST", "/sample", json=asked, headers=LINES) as answer:
                    lines = answer.iter_lines()
                    next(lines)
                    slow.failure = error
                    last = json.loads(list(lines)[-1])
                assert last["complete"] is False

            moves = moved(service, fail_midway)
            expected = stream_moves(outcome, engine_calls(moves))
            if outcome == "shed":
                short = ("condflow_out_of_memory_total", labels(operation="decode", model="labels", version="1"))
                assert moves[short] > 1  # tried again in halves
                expected[short] = moves[short]
                expected[("condflow_shed_total", labels(reason="overloaded"))] = 1
            assert moves == expected


def test_leaving_counts_the_stage_that_was_left(store: Store) -> None:
    with serving(store) as service, ThreadPoolExecutor(1) as threads:
        body = json.dumps(GOOD).encode()
        head = b"POST /loglik HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        head += b"Content-Length: %d\r\n\r\n" % len(body)
        who = labels(operation="score", model="labels", version="1")

        def leave(sent: bytes, when: Callable[[], object]) -> None:
            with socket.create_connection(("127.0.0.1", service.port), timeout=60) as connection:
                connection.sendall(sent)
                until(when)
            until(lambda: service.parts.admission.requests == service.parts.admission.streams == others)

        requests, others = service.parts.admission, 0
        moves = moved(service, lambda: leave(head + body[:3], lambda: requests.requests))
        assert moves == left("loglik", "unknown", "parse")

        slow = slow_down(service, "labels")
        moves = moved(service, lambda: leave(head + body, slow.entered.is_set))
        assert moves == left("loglik", "labels", "compute")
        slow.hold.set()
        until(lambda: ("condflow_batch_rows_count", who) in service.metrics())

        slow.hold.clear()
        slow.entered.clear()
        first = threads.submit(lambda: httpx.post(service.url + "/loglik", json=GOOD, timeout=60))
        until(slow.entered.is_set)
        others = 1

        def leave_queue() -> None:
            with socket.create_connection(("127.0.0.1", service.port), timeout=60) as connection:
                connection.sendall(head + body)
                until(lambda: service.parts.driver.queue()[0] == 1)
            until(lambda: requests.requests == 1)

        assert moved(service, leave_queue) == left("loglik", "labels", "queue")
        slow.hold.set()
        assert first.result().status_code == 200


def test_a_stream_that_is_left_counts_as_cancelled(store: Store) -> None:
    with serving(store) as service:

        def leave() -> None:
            asked = {**STREAM, "num_samples": 9_000_000}
            with service.client.stream("POST", "/sample", json=asked, headers=LINES) as answer:
                next(answer.iter_lines())
            until(lambda: service.parts.admission.streams == 0)
            until(lambda: not service.parts.driver._scheduler.in_flight)

        moves = moved(service, leave)
        counted = {key: value for key, value in moves.items() if "cancelled_total" in key[0]}
        assert sum(counted.values()) == 1
        assert moves == {**stream_moves("cancelled", engine_calls(moves)), **counted}
