"""Every hostile body is refused with a problem that names the field, takes no memory to speak of, and harms nobody."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from model_store.store import Store
from tests.attacks.bodies.corpus import Attack, all_attacks
from tests.attacks.bodies.memory import largest_excess
from tests.inference import handmade
from tests.service.harness import Running, running
from tests.service.versions import publish

ATTACKS = all_attacks()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    path = tmp_path_factory.mktemp("store") / "models"
    store = Store.open(path)
    publish(store, "labels", handmade.labels())
    publish(store, "grey", handmade.images())
    with running(path) as started:
        yield started


def send(client: httpx.Client, attack: Attack) -> httpx.Response:
    params = {} if attack.media == "application/json" else {"model": "labels"}
    headers = {"Content-Type": attack.media}
    return client.post("/loglik", params=params, content=attack.body, headers=headers)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_refused_with_a_problem_that_names_the_field(service: Running, attack: Attack) -> None:
    response = send(service.client, attack)
    assert response.status_code in attack.statuses, response.text[:500]
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == response.status_code
    assert problem["title"]
    assert problem["detail"]
    if attack.field is not None:
        assert attack.field in [error["pointer"] for error in problem["errors"]], problem


def test_no_memory_is_taken(service: Running) -> None:
    """Python's own allocations, numpy's among them, stay below a few times the body while all attacks pass."""
    assert largest_excess(ATTACKS, lambda attack: send(service.client, attack)) < 8_000_000


def test_neighbours_get_right_answers_meanwhile(service: Running) -> None:
    body = {"model": "labels", "x": [[0.5, 1.0], [2.0, -1.0]], "condition": [0, 2]}
    expected = service.client.post("/loglik", json=body).json()["log_likelihood"]
    over = threading.Event()
    answers: list[list[float]] = []

    def attack_all() -> None:
        with httpx.Client(base_url=service.url, timeout=60) as client:
            for attack in ATTACKS:
                send(client, attack)
        over.set()

    def ask() -> None:
        with httpx.Client(base_url=service.url, timeout=60) as client:
            while not over.is_set():
                response = client.post("/loglik", json=body)
                assert response.status_code == 200, response.text
                answers.append(response.json()["log_likelihood"])

    with ThreadPoolExecutor(3) as threads:
        for future in [threads.submit(attack_all), threads.submit(ask), threads.submit(ask)]:
            future.result()
    assert len(answers) > 10
    assert all(answer == pytest.approx(expected, rel=1e-6) for answer in answers)
    assert service.client.get("/livez").status_code == 200
