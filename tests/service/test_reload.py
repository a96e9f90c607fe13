"""Hot reload: alias moves are followed, a bad version never replaces a good one, the old one drains."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest

from model_store.store import Store
from service.keys import SCOPES, new_key
from tests.inference import handmade
from tests.service.harness import Running, running, until
from tests.service.slow import slow_down
from tests.service.versions import damage, publish

BODY = {"model": "m", "x": [[0.5]]}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store.open(tmp_path / "models")
    publish(store, "m", handmade.unconditional())
    return store


@pytest.fixture
def service(store: Store, tmp_path: Path) -> Iterator[Running]:
    with running(tmp_path / "models", load_wait_s=10.0) as started:
        yield started


def version(service: Running, **extra: object) -> int:
    response = service.client.post("/loglik", json={**BODY, **extra})
    assert response.status_code == 200, response.text
    number: int = response.json()["version"]
    return number


def test_a_new_champion_is_followed(service: Running, store: Store) -> None:
    assert version(service) == 1
    publish(store, "m", handmade.unconditional("latent"))
    until(lambda: version(service) == 2, "version 2")
    assert version(service, version=1) == 1
    store.set_alias("m", "champion", 1)
    until(lambda: version(service) == 1, "the alias back at version 1")


def test_new_models_and_aliases_appear(service: Running, store: Store) -> None:
    publish(store, "other", handmade.unconditional())
    until(lambda: service.client.post("/loglik", json={**BODY, "model": "other"}).status_code == 200, "the new model")
    publish(store, "m", handmade.unconditional(), alias=None)
    store.set_alias("m", "candidate", 2)
    until(lambda: "candidate" in service.client.get("/models/m").json()["aliases"], "the alias")
    until(lambda: version(service, version="candidate") == 2)
    assert version(service) == 1


def test_a_new_version_is_as_ready_as_the_one_that_it_follows(service: Running, store: Store) -> None:
    assert sessions(service, 1) == {"decode"}
    assert version(service) == 1
    assert sessions(service, 1) == {"decode", "score"}
    publish(store, "m", handmade.unconditional())
    until(lambda: service.client.get("/models/m").json()["version"] == 2, "version 2")
    assert sessions(service, 2) == {"score"}


def sessions(service: Running, number: int) -> set[str]:
    return set(service.parts.registry._entries[("m", number)].loaded.engine._sessions)  # type: ignore[attr-defined]


def test_a_removed_alias_is_gone_and_a_removed_champion_leaves_the_highest(service: Running, store: Store) -> None:
    publish(store, "m", handmade.unconditional(), alias=None)
    store.set_alias("m", "candidate", 2)
    until(lambda: "candidate" in service.client.get("/models/m").json()["aliases"], "the alias")
    store.remove_alias("m", "candidate")
    until(lambda: "candidate" not in service.client.get("/models/m").json()["aliases"], "the alias's removal")
    assert service.client.post("/loglik", json={**BODY, "version": "candidate"}).status_code == 404
    assert version(service) == 1
    store.remove_alias("m", "champion")
    until(lambda: version(service) == 2, "the highest version")


def test_a_bad_version_never_replaces_a_good_one(service: Running, store: Store) -> None:
    publish(store, "m", handmade.unconditional("latent"), alias=None)
    damage(store, "m", 2, "score.onnx")
    store.set_alias("m", "champion", 2)
    until(lambda: service.client.get("/models/m").json()["unloadable"] == [2], "the failed load")
    assert version(service) == 1
    assert service.client.get("/readyz").status_code == 200
    pinned = service.client.post("/loglik", json={**BODY, "version": 2})
    assert pinned.status_code == 503
    assert pinned.json()["type"].endswith("unloadable")
    assert int(pinned.headers["retry-after"]) >= 1
    errors = ("condflow_model_load_seconds_count", (("model", "m"), ("outcome", "error"), ("version", "2")))
    assert service.metrics()[errors] >= 1  # tried again after a pause, on a slow machine
    publish(store, "m", handmade.unconditional())
    until(lambda: version(service) == 3, "a good version after the bad one")


def test_a_version_in_use_is_not_closed(service: Running, store: Store) -> None:
    slow = slow_down(service, "m")
    old = service.parts.registry._entries[("m", 1)].loaded
    with ThreadPoolExecutor(1) as threads:
        running_request = threads.submit(lambda: httpx.post(service.url + "/loglik", json=BODY, timeout=60))
        assert slow.entered.wait(60)
        publish(store, "m", handmade.unconditional())
        until(lambda: service.client.get("/models/m").json()["version"] == 2, "version 2")
        store.delete("m", 1)
        until(lambda: service.client.get("/models/m").json()["loaded"] == [2], "version 1's retirement")
        slow.hold.set()
        answer = running_request.result()
    assert answer.status_code == 200
    assert answer.json()["version"] == 1
    until(lambda: not old.engine.engine._sessions, "the old engine's end")  # type: ignore[attr-defined]


def test_series_go_with_their_version(service: Running, store: Store) -> None:
    version(service)
    assert any(("version", "1") in labels for _, labels in service.metrics())
    publish(store, "m", handmade.unconditional())
    until(lambda: version(service) == 2)
    store.delete("m", 1)
    until(lambda: not any(("version", "1") in labels for _, labels in service.metrics()), "the series' removal")
    gone = service.client.post("/loglik", json={**BODY, "version": 1})
    assert gone.status_code == 404


def test_a_deleted_model_is_forgotten(service: Running, store: Store) -> None:
    version(service)
    store.delete("m", 1, force=True)
    until(lambda: service.client.post("/loglik", json=BODY).status_code == 404, "the 404")
    until(lambda: not any(("model", "m") in labels for _, labels in service.metrics()), "the end of its series")
    assert service.client.get("/readyz").status_code == 200


def test_a_store_that_vanishes_changes_nothing(service: Running, tmp_path: Path) -> None:
    (tmp_path / "models").rename(tmp_path / "away")
    looks = service.parts.registry.looks
    until(lambda: service.parts.registry.looks > looks + 2, "two more looks")
    assert version(service) == 1
    (tmp_path / "away").rename(tmp_path / "models")
    publish(Store.open(tmp_path / "models"), "m", handmade.unconditional())
    until(lambda: version(service) == 2)


def test_versions_that_no_alias_names_are_few(store: Store, tmp_path: Path) -> None:
    for _ in range(4):
        publish(store, "m", handmade.unconditional())
    with running(tmp_path / "models", loaded_versions=2) as service:
        for number in (1, 2, 3, 4):
            assert version(service, version=number) == number
        until(lambda: len(service.client.get("/models/m").json()["loaded"]) == 3, "the oldest being dropped")
        assert service.client.get("/models/m").json()["loaded"] == [3, 4, 5]


def test_a_moving_alias_under_load_fails_no_request(service: Running, store: Store) -> None:
    publish(store, "m", handmade.unconditional("latent"))
    over = threading.Event()
    seen: set[int] = set()

    def ask() -> None:
        with httpx.Client(base_url=service.url, timeout=60) as client:
            while not over.is_set():
                response = client.post("/loglik", json=BODY)
                assert response.status_code == 200, response.text
                content = response.json()
                assert content["space"] == ("data" if content["version"] == 1 else "latent")
                np.testing.assert_allclose(content["log_likelihood"], [-1.6433358], rtol=1e-5)
                seen.add(content["version"])

    with ThreadPoolExecutor(3) as threads:
        askers = [threads.submit(ask) for _ in range(3)]
        try:
            for number in [1, 2] * 4:
                store.set_alias("m", "champion", number)
                until(lambda number=number: service.client.get("/models/m").json()["version"] == number)  # type: ignore[misc]
        finally:
            over.set()
        for asker in askers:
            asker.result()
    assert seen == {1, 2}


def test_loading_answers_503(store: Store, tmp_path: Path) -> None:
    with running(tmp_path / "models", load_wait_s=0.0, ready=False) as service:
        registry = service.parts.registry
        until(lambda: registry.ready)
        hold = threading.Event()
        load = registry._loads.load

        def slowly(manifest: object) -> object:
            assert hold.wait(60)
            return load(manifest)  # type: ignore[arg-type]

        registry._loads.load = slowly  # type: ignore[assignment]
        publish(store, "m", handmade.unconditional(), alias=None)
        until(lambda: 2 in service.client.get("/models/m").json()["versions"])
        response = service.client.post("/loglik", json={**BODY, "version": 2})
        assert response.status_code == 503
        assert response.json()["type"].endswith("loading")
        assert int(response.headers["retry-after"]) >= 1
        assert version(service) == 1
        hold.set()
        until(lambda: service.client.post("/loglik", json={**BODY, "version": 2}).status_code == 200)


def test_admin_reload_and_alias_moves(store: Store, tmp_path: Path) -> None:
    publish(store, "m", handmade.unconditional(), alias=None)
    text, key = new_key("root", frozenset(SCOPES))
    headers = {"Authorization": f"Bearer {text}"}
    with running(tmp_path / "models", keys=key.line, poll_seconds=3600) as service:
        service.client.headers.update(headers)
        moved = service.client.put("/models/m/aliases/champion", json={"version": 2})
        assert moved.status_code == 200, moved.text
        generation = moved.json()["generation"]
        assert version(service) == 2
        stale = {"version": 1, "expected_generation": generation - 1}
        assert service.client.put("/models/m/aliases/champion", json=stale).status_code == 409
        assert version(service) == 2
        publish(store, "m", handmade.unconditional())
        assert version(service) == 2
        assert service.client.post("/admin/reload").json()["loaded"]["m"] == [1, 2, 3]
        assert version(service) == 3
        damage(store, "m", 1, "score.onnx")
        for path, body, status in (
            ("/models/m/aliases/champion", {"version": 9}, 404),
            ("/models/nobody/aliases/champion", {"version": 1}, 404),
            ("/models/m/aliases/7", {"version": 1}, 422),
            ("/models/m/aliases/champion", {"version": "1"}, 422),
            ("/models/m/aliases/champion", {"version": 1, "x": 1}, 422),
        ):
            assert service.client.put(path, json=body).status_code == status
        assert service.client.put("/models/m/aliases/champion", content=b"{}").status_code == 415
        assert service.client.put("/models/m/aliases/x", json={"version": 1, "p": "x" * 9000}).status_code == 413
