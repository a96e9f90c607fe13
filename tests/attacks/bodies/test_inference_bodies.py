"""Every hostile inference request is refused in the protocol's words, takes no memory to speak of, and harms nobody."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model_store.store import Store
from tests.attacks.bodies.inference_corpus import DATA, HEAD, Attack, all_inference_attacks, good_binary
from tests.attacks.bodies.memory import largest_excess
from tests.inference import handmade
from tests.service.harness import Running, running
from tests.service.versions import publish

ATTACKS = all_inference_attacks()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    path = tmp_path_factory.mktemp("store") / "models"
    publish(Store.open(path), "labels", handmade.labels())
    with running(path) as started:
        yield started


def send(service: Running, attack: Attack) -> httpx.Response:
    headers = [(name.encode(), value.encode("latin-1")) for name, value in attack.headers.items()]
    headers.append((b"Content-Type", b"application/octet-stream" if attack.headers else b"application/json"))
    return service.client.post("/v2/models/labels.loglik/infer", content=attack.body, headers=headers)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_refused_with_an_error_that_says_why(service: Running, attack: Attack) -> None:
    response = send(service, attack)
    assert response.status_code in attack.statuses, response.text[:500]
    assert response.headers["content-type"] == "application/json"
    document = response.json()
    assert set(document) == {"error"}
    assert attack.word in document["error"], document
    assert len(document["error"]) < 1000


HEADER, GOOD_BODY = good_binary()


@given(
    st.lists(
        st.tuples(st.sampled_from(["set", "insert", "cut"]), st.integers(0, len(GOOD_BODY) - 1), st.integers(0, 255)),
        min_size=1,
        max_size=4,
    ),
    st.integers(-2, 2),
)
@settings(max_examples=150, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_bodies_are_answered_or_refused(service: Running, damage: list[tuple[str, int, int]], lie: int) -> None:
    body = bytearray(GOOD_BODY)
    for kind, place, value in damage:
        match kind:
            case "set":
                body[place % max(1, len(body)) : place % max(1, len(body)) + 1] = bytes([value])
            case "insert":
                body[place:place] = bytes([value])
            case _:
                del body[place : place + value]
    response = send(service, Attack("damaged", bytes(body), (), headers={HEAD: str(HEADER + lie)}))
    assert response.status_code == 200 or 400 <= response.status_code < 500, response.text
    if response.status_code != 200:
        assert set(response.json()) == {"error"}


def test_no_memory_is_taken_and_the_next_request_is_answered(service: Running) -> None:
    assert largest_excess(ATTACKS, lambda attack: send(service, attack)) < 8_000_000
    assert service.client.post("/v2/models/labels.loglik/infer", json={"inputs": [DATA]}).status_code == 200
    assert send(service, Attack("none", GOOD_BODY, (), headers={HEAD: str(HEADER)})).status_code == 200
