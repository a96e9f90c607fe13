"""A request that comes whole is answered by the lane, and as the app answers it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.keys import new_key
from service.lane import Lane
from service.protocol import HEAD_BYTES
from tests.service.harness import Running, running, until
from tests.service.slow import slow_down
from tests.service.test_pipelining import connected, next_answer

JSON = {"Host": "localhost", "Content-Type": "application/json"}
DIFFERS = {b"date", b"server-timing", b"x-request-id"}
GOOD = {"model": "labels", "x": [[0.0, 1.0], [1.0, 1.0]]}
ONE = {"model": "labels", "condition": 0, "seed": 1}


class Taken:
    """How many requests the lane of a service took."""

    def __init__(self, lane: Lane) -> None:
        self.count = 0
        self._answer = lane.answer

    def __call__(self, *arguments: Any) -> Any:
        self.count += 1
        return self._answer(*arguments)


@contextmanager
def taken(service: Running) -> Iterator[Taken]:
    lane = service.server.config.http_protocol_class.lane  # type: ignore[union-attr]
    lane.answer = counted = Taken(lane)
    try:
        yield counted
    finally:
        del lane.answer


def head_of(target: str, body: bytes, fields: Mapping[str, str], start: str = "POST {} HTTP/1.1") -> bytes:
    lines = [start.format(target), *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode()


def asked(service: Running, head: bytes, body: bytes, *, whole: bool = True) -> tuple[int, dict[bytes, bytes], bytes]:
    """The answer to a request that comes in one read, or its body after its head."""
    with connected(service) as (connection, protocol), connection.makefile("rb") as stream:
        if whole:
            connection.sendall(head + body)
        else:
            connection.sendall(head)
            until(lambda: protocol.part == "body", "the head")
            connection.sendall(body)
        return next_answer(stream)


CASES: list[tuple[str, object, dict[str, str]]] = [
    ("/sample", ONE, {}),
    ("/sample", {**ONE, "num_samples": 3, "return_latent": True}, {"Accept": "application/x-npz"}),
    ("/sample", {**ONE, "num_samples": 3, "return_log_likelihood": True}, {"X-Request-Timeout-Ms": "60000"}),
    ("/sample", {**ONE, "conditions": [0, 1], "condition": None, "num_samples": 2}, {"Accept": "application/x-npy"}),
    ("/sample", {"model": "pictures", "condition": "day", "seed": 3, "num_samples": 2}, {"Accept": "image/png"}),
    ("/sample", {**ONE, "summary": ["mean"], "num_samples": 50}, {}),
    ("/loglik", GOOD, {"Connection": "keep-alive"}),
    ("/loglik", {"model": "plain", "x": [[1e30], [0.0]]}, {}),
    ("/infer-condition", GOOD, {}),
    ("/encode", {**GOOD, "condition": 1}, {}),
    ("/loglik", {**GOOD, "x": [[0.0]]}, {}),
    ("/loglik", {**GOOD, "model": "nobody"}, {}),
    ("/loglik", {**GOOD, "draws": "many"}, {}),
    ("/infer-condition", {"model": "plain", "x": [0.0]}, {}),
    ("/sample", b'{"model": "labels"', {}),
    ("/sample", b'{"model": "labels", "model": "plain"}', {}),
    ("/sample", {**ONE, "num_samples": 10**9}, {}),
]


@pytest.mark.parametrize(("target", "content", "fields"), CASES)
def test_both_ways_answer_the_same(service: Running, target: str, content: object, fields: dict[str, str]) -> None:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    head = head_of(target, body, {**JSON, **fields})
    with taken(service) as lane:
        short = asked(service, head, body)
        assert lane.count == 1
        long = asked(service, head, body, whole=False)
        assert lane.count == 1
    assert short[0] == long[0] and short[2] == long[2]
    assert set(short[1]) == set(long[1])
    assert [(name, value) for name, value in short[1].items() if name not in DIFFERS] == [
        (name, value) for name, value in long[1].items() if name not in DIFFERS
    ]


def test_one_connection_after_another_request_of_the_same_head(service: Running) -> None:
    with taken(service) as lane, connected(service) as (connection, _), connection.makefile("rb") as stream:
        for seed in range(5):
            body = json.dumps({**ONE, "seed": seed}).encode()
            connection.sendall(head_of("/sample", body, {**JSON, "X-Request-Id": f"mine-{seed}"}) + body)
            status, headers, answer = next_answer(stream)
            assert (status, json.loads(answer)["seed"], headers[b"x-request-id"]) == (200, seed, b"mine-%d" % seed)
        assert lane.count == 5


HTTP_1_0 = "POST {} HTTP/1.0"
PUT = "PUT {} HTTP/1.1"


@pytest.mark.parametrize(
    ("target", "fields", "start", "status"),
    [
        ("/sample", {"Accept": "application/x-ndjson"}, "POST {} HTTP/1.1", 200),
        ("/sample", {"Accept": "text/html"}, "POST {} HTTP/1.1", 406),
        ("/sample", {"Content-Type": "text/plain"}, "POST {} HTTP/1.1", 415),
        ("/sample", {"Content-Encoding": "gzip"}, "POST {} HTTP/1.1", 415),
        ("/sample", {"Host": "elsewhere.example"}, "POST {} HTTP/1.1", 403),
        ("/sample", {"Connection": "close"}, "POST {} HTTP/1.1", 200),
        ("/sample", {}, HTTP_1_0, 200),
        ("/sample", {}, PUT, 405),
        ("/sample?seed=1", {}, "POST {} HTTP/1.1", 422),
        ("/nowhere", {}, "POST {} HTTP/1.1", 404),
    ],
)
def test_what_needs_the_app_goes_there(
    service: Running, target: str, fields: dict[str, str], start: str, status: int
) -> None:
    body = json.dumps(ONE).encode()
    with taken(service) as lane, connected(service) as (connection, _), connection.makefile("rb") as stream:
        connection.sendall(head_of(target, body, {**JSON, **fields}, start) + body)
        assert int(stream.readline().split()[1]) == status
        assert lane.count == 0


def test_a_connection_that_the_client_ends_by_another_header_ends(service: Running) -> None:
    body = json.dumps(ONE).encode()
    with taken(service) as lane, connected(service) as (connection, _), connection.makefile("rb") as stream:
        connection.sendall(head_of("/sample", body, {**JSON, "Proxy-Connection": "close"}) + body)
        status, headers, _ = next_answer(stream)
        assert (status, headers[b"connection"], stream.read(), lane.count) == (200, b"close", b"", 0)


def test_empty_lines_between_requests_do_not_add_up(service: Running) -> None:
    body = json.dumps(ONE).encode()
    request, empty = head_of("/sample", body, JSON) + body, b"\r\n" * 8192
    with taken(service) as lane, connected(service) as (connection, protocol), connection.makefile("rb") as stream:
        rounds = HEAD_BYTES // len(empty) + 2
        for _ in range(rounds):
            connection.sendall(empty)
            until(lambda: protocol._head_bytes == len(empty), "the empty lines")
            connection.sendall(request)
            assert next_answer(stream)[0] == 200
        assert lane.count == rounds


def test_heads_with_an_id_of_their_own_are_not_kept(service: Running) -> None:
    with taken(service):
        known = service.server.config.http_protocol_class.lane._known  # type: ignore[union-attr]
        body = json.dumps(ONE).encode()
        before = len(known)
        for place in range(3):
            head = head_of("/sample", body, {**JSON, "X-Request-Id": f"only-{place}"})
            assert asked(service, head, body)[0] == 200
        assert len(known) == before
        assert asked(service, head_of("/sample", body, {**JSON, "X-Other": "1"}), body)[0] == 200
        assert len(known) == before + 1


def test_a_request_behind_another_one_waits_its_turn(service: Running) -> None:
    bodies = [json.dumps({**ONE, "seed": seed}).encode() for seed in range(4)]
    with taken(service) as lane, connected(service) as (connection, _), connection.makefile("rb") as stream:
        connection.sendall(b"".join(head_of("/sample", body, JSON) + body for body in bodies))
        assert [json.loads(next_answer(stream)[2])["seed"] for _ in bodies] == [0, 1, 2, 3]
        assert 1 <= lane.count < 4


@given(st.lists(st.sampled_from(range(len(CASES))), min_size=1, max_size=5), st.lists(st.integers(1, 2000), max_size=6))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_requests_cut_anywhere_are_answered_in_their_order(
    service: Running, places: list[int], pieces: list[int]
) -> None:
    """Whichever way each of them goes, which is a matter of what comes together."""
    requests, expected = [], []
    for place in places:
        target, content, fields = CASES[place]
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        head = head_of(target, body, {**JSON, **fields})
        requests.append(head + body)
        expected.append(asked(service, head, body, whole=False))
    sent = b"".join(requests)
    with connected(service) as (connection, _), connection.makefile("rb") as stream:
        start = 0
        for size in (*pieces, len(sent)):
            connection.sendall(sent[start : start + size])
            start += size
        answers = [next_answer(stream) for _ in requests]
    assert [(status, body) for status, _, body in answers] == [(status, body) for status, _, body in expected]


def test_a_body_past_its_limit_is_refused_by_its_length(store_path: Path) -> None:
    with running(store_path, limits={"json_bytes": 100}) as service, taken(service) as lane:
        body = json.dumps({**ONE, "num_samples": 1}).encode().ljust(101)
        status, _, answer = asked(service, head_of("/sample", body, JSON), body)
        assert (status, lane.count) == (413, 0)
        assert "json_bytes" in json.loads(answer)["detail"]
        assert asked(service, head_of("/sample", body[:100], JSON), body[:100])[0] == 200
        assert lane.count == 1


def test_a_key_that_is_taken_back_asks_nothing_more(store_path: Path, tmp_path: Path) -> None:
    text, key = new_key("alice", frozenset(["infer"]))
    path = tmp_path / "keys.txt"
    path.write_text(key.line)
    with running(store_path, keys_file=path) as service, taken(service) as lane:
        body = json.dumps(ONE).encode()
        head = head_of("/sample", body, {**JSON, "Authorization": f"Bearer {text}"})
        assert asked(service, head, body)[0] == 200
        fresh = tmp_path / "fresh.txt"
        fresh.write_text(new_key("bob", frozenset(["infer"]))[1].line)
        fresh.replace(path)
        until(lambda: asked(service, head, body)[0] == 401, "the change")
        before = lane.count
        assert asked(service, head, body)[0] == 401
        assert lane.count == before


def test_a_connection_that_is_to_end_ends_behind_the_answer(store_path: Path) -> None:
    with running(store_path) as service, connected(service) as (connection, protocol):
        slow = slow_down(service, "labels")
        body = json.dumps(ONE).encode()
        connection.sendall(head_of("/sample", body, JSON) + body)
        assert slow.entered.wait(60)
        protocol.loop.call_soon_threadsafe(protocol.shutdown)
        slow.hold.set()
        with connection.makefile("rb") as stream:
            status, headers, _ = next_answer(stream)
            assert (status, headers[b"connection"]) == (200, b"close")
            assert stream.read() == b""


def test_a_client_that_leaves_is_counted_once(store_path: Path) -> None:
    with running(store_path) as service:
        slow = slow_down(service, "labels")
        body = json.dumps(ONE).encode()
        with taken(service) as lane, connected(service) as (connection, _):
            connection.sendall(head_of("/sample", body, JSON) + body)
            assert slow.entered.wait(60)
            assert lane.count == 1
        until(lambda: service.parts.admission.requests == 0)
        slow.hold.set()
        requests = {
            dict(labels)["outcome"]: value
            for (name, labels), value in service.metrics().items()
            if name == "condflow_requests_total" and dict(labels)["operation"] == "sample"
        }
        assert requests == {"cancelled": 1}


def test_what_goes_wrong_inside_is_told_with_its_id(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(service.parts.pipeline, "answer_whole", broken)
    body = json.dumps(ONE).encode()
    status, headers, answer = asked(service, head_of("/sample", body, {**JSON, "X-Request-Id": "it-is-me"}), body)
    assert (status, headers[b"x-request-id"]) == (500, b"it-is-me")
    assert "it-is-me" in json.loads(answer)["detail"]
