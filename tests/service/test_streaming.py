"""Draws that stream over real HTTP: line by line what the whole answer says, at the pace of the reader."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from inference.engine import EngineError
from service.settings import Limits
from tests.service.harness import Running, running, until
from tests.service.refusals import GOOD, problem
from tests.service.test_answers import unpack

LINES = {"Accept": "application/x-ndjson"}
LONG: dict[str, Any] = {"model": "labels", "conditions": [0, 2, 1], "num_samples": 7000, "seed": 5}
ENDLESS = {"model": "plain", "num_samples": 5_000_000, "seed": 5}


def read(service: Running, asked: dict[str, Any], **headers: str) -> list[dict[str, Any]]:
    response = service.client.post("/sample", json=asked, headers={**LINES, **headers})
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/x-ndjson"
    assert response.content.endswith(b"\n")
    return [json.loads(line) for line in response.content.splitlines()]


def joined(lines: list[dict[str, Any]], *names: str) -> np.ndarray:
    """The parts of all lines, after a check that they follow on each other."""
    parts, row = [], 0
    for line in lines[1:-1]:
        assert line["start"] == row
        row = line["stop"]
        value: Any = line
        for name in names:
            value = value[name]
        assert len(value) == row - line["start"]
        parts.append(np.array(value, np.float64))
    assert lines[-1]["rows"] == row
    return np.concatenate(parts)


@pytest.mark.parametrize(
    "asked",
    [
        {**LONG, "return_log_likelihood": True, "return_latent": True},
        {"model": "vector", "condition": [0.5, 1.0], "num_samples": 20_000, "seed": 1, "return_latent": True},
        {"model": "plain", "seed": 3},
        {"model": "pictures", "conditions": [1, 0], "num_samples": 3000, "seed": 3, "shared_latent": True},
    ],
)
def test_the_lines_joined_are_the_whole_answer(service: Running, asked: dict[str, Any]) -> None:
    lines = read(service, asked)
    whole = service.client.post("/sample", json=asked, headers={"Accept": "application/x-npz"})
    arrays = unpack(whole.content)
    opening = lines[0]
    assert opening["digest"] == whole.headers["x-condflow-digest"] and opening["version"] == 1
    assert opening["seed"] == asked["seed"] and opening["model"] == asked["model"]
    assert opening["dtype"] == str(arrays["samples"].dtype)
    assert lines[-1]["complete"] is True
    assert opening["shape"] == list(arrays["samples"].shape)
    for name, array in arrays.items():
        got = joined(lines, *name.split(".")).astype(array.dtype).reshape(array.shape)
        if name == "log_likelihood":
            np.testing.assert_allclose(got, array, rtol=1e-6)
        else:
            np.testing.assert_array_equal(got, array, err_msg=name)
    assert len(lines) == 3 if array.size < 100 else len(lines) > 3


def test_a_summary_comes_last_and_the_samples_before_it_where_asked(service: Running) -> None:
    asked = {**LONG, "summary": ["mean", "quantiles"]}
    whole = service.client.post("/sample", json=asked).json()["summary"]
    lines = read(service, asked)
    assert len(lines) == 2 and lines[1]["complete"] is True
    np.testing.assert_allclose(lines[1]["summary"]["mean"], whole["mean"], rtol=1e-12)
    assert lines[1]["summary"]["quantiles"] == whole["quantiles"]
    lines = read(service, {**asked, "return_samples": True})
    assert lines[-1]["summary"]["quantiles"] == whole["quantiles"]
    samples = joined(lines, "samples").astype(np.float32).astype(np.float64).reshape(3, 7000, 2)
    np.testing.assert_allclose(samples.mean(axis=1), whole["mean"], rtol=1e-9)


def test_bytes_of_answers_do_not_bound_streams(store_path: Path) -> None:
    with running(store_path, limits=Limits(answer_bytes=300, json_answer_bytes=400)) as service:
        problem(service.client.post("/sample", json=LONG), 413)
        assert joined(read(service, LONG), "samples").shape == (21_000, 2)
        asked = {**LONG, "conditions": [0] * 50, "num_samples": 20, "summary": ["covariance"]}
        refused = service.client.post("/sample", json=asked, headers=LINES)
        assert "`json_answer_bytes`" in problem(refused, 413)["detail"]


def test_what_fails_before_the_first_line_has_its_own_status(service: Running) -> None:
    problem(service.client.post("/sample", json={**LONG, "conditions": [9]}, headers=LINES), 422)
    problem(service.client.post("/loglik", json=GOOD, headers=LINES), 406)


class Counted:
    """Stands before an engine, counts rows, and calls `at` before each call with the rows before it."""

    def __init__(self, engine: Any, at: Callable[[int], None]) -> None:
        self.engine, self.at, self.rows = engine, at, 0

    def run(self, operation: Any, inputs: Any) -> Any:
        self.at(self.rows)
        self.rows += len(next(iter(inputs.values())))
        return self.engine.run(operation, inputs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)


def counted(service: Running, name: str, at: Callable[[int], None] = lambda rows: None) -> Counted:
    loaded = service.parts.registry._entries[(name, 1)].loaded
    engine = Counted(loaded.engine, at)
    object.__setattr__(loaded, "engine", engine)
    return engine


def outcomes(service: Running) -> dict[str, float]:
    found: dict[str, float] = {}
    for (name, pairs), value in service.metrics().items():
        named = dict(pairs)
        if name == "condflow_requests_total" and named["operation"] == "sample":
            found[named["outcome"]] = found.get(named["outcome"], 0) + value
    return found


def at_rest(service: Running) -> bool:
    admission = service.parts.admission
    return admission.streams == admission.requests == admission.rows == service.parts.driver.queue()[0] == 0


def test_an_engine_that_fails_midway_is_told_in_the_last_line(store_path: Path) -> None:
    def fail(rows: int) -> None:
        if rows >= 8192:
            raise EngineError("broken")

    with running(store_path) as service:
        counted(service, "labels", fail)
        lines = read(service, LONG)
        assert lines[-1]["complete"] is False and lines[-1]["error"]["status"] == 500
        assert lines[1]["start"] == 0 and "rows" not in lines[-1]
        until(lambda: outcomes(service) == {"error": 1})
        until(lambda: at_rest(service))


def test_a_deadline_that_passes_midway_is_told_in_the_last_line(store_path: Path) -> None:
    hold = threading.Event()

    def wait(rows: int) -> None:
        assert rows < 8192 or hold.wait(60)

    with running(store_path) as service:
        counted(service, "labels", wait)
        lines = read(service, LONG, **{"X-Request-Timeout-Ms": "1000"})
        hold.set()
        assert lines[-1]["error"]["status"] == 504 and lines[-1]["complete"] is False
        until(lambda: outcomes(service) == {"deadline": 1})
        until(lambda: at_rest(service))


@contextmanager
def unread(service: Running, asked: dict[str, Any]) -> Iterator[socket.socket]:
    """A client that asks for a stream, reads its head, and no more."""
    body = json.dumps(asked).encode()
    head = "POST /sample HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    head += f"Accept: application/x-ndjson\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(60)
        connection.connect(("127.0.0.1", service.port))
        connection.sendall(head.encode() + body)
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
        yield connection


def test_a_slow_reader_holds_up_its_own_answer_alone(store_path: Path) -> None:
    """It is computed until the socket is full and no further, while neighbours are answered; then it leaves."""
    with running(store_path, queue_rows=10_000) as service:
        engine = counted(service, "plain")
        with unread(service, ENDLESS):
            still = 0

            def rests() -> bool:
                nonlocal still
                before = engine.rows
                for _ in range(5):
                    assert service.client.post("/loglik", json={**GOOD, "model": "labels"}).status_code in (200, 422)
                still = still + 1 if engine.rows == before and service.parts.driver.queue()[0] == 0 else 0
                return still == 5

            until(rests, "the pause of the stream")
            assert 0 < engine.rows < ENDLESS["num_samples"] / 2
            assert service.parts.admission.rows == 0 and service.parts.admission.streams == 1
        until(lambda: at_rest(service), "the end of the stream")
        assert engine.rows < ENDLESS["num_samples"] / 2
        until(lambda: outcomes(service).get("cancelled") == 1)


def test_a_slow_reader_gets_all_of_it_in_the_end(store_path: Path) -> None:
    with running(store_path) as service:
        counted_engine = counted(service, "labels")
        with httpx.stream("POST", service.url + "/sample", json=LONG, headers=LINES, timeout=60) as response:
            lines = [json.loads(line) for line in response.iter_lines()]
        whole = service.client.post("/sample", json=LONG).json()["samples"]
        np.testing.assert_array_equal(joined(lines, "samples").reshape(3, 7000, 2), np.array(whole))
        assert counted_engine.rows == 42_000


def test_a_reader_that_stalls_is_cut_off(store_path: Path) -> None:
    with running(store_path, stall_timeout_s=0.2) as service, unread(service, ENDLESS) as connection:
        until(lambda: at_rest(service), "the end of the stream")
        until(lambda: outcomes(service) == {"cancelled": 1})
        received = b""
        with suppress(ConnectionResetError):
            while piece := connection.recv(1 << 20):
                received = (received + piece)[-100:]
        assert b"complete" not in received and not received.endswith(b"0\r\n\r\n")


def test_more_streams_than_welcome_are_shed(store_path: Path) -> None:
    with running(store_path, streams=1) as service:
        with unread(service, ENDLESS):
            refused = service.client.post("/sample", json=LONG, headers=LINES)
            assert "streamed" in problem(refused, 503)["detail"]
            assert service.client.post("/sample", json={**LONG, "num_samples": 1}).status_code == 200
        until(lambda: at_rest(service))
        assert read(service, LONG)[-1]["complete"] is True
