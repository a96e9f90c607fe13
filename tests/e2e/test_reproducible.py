"""The same seed gives the same samples over real HTTP: alone, beside others, whole, streamed, in any media type,
before and after a restart. The noise to the bit; the rest within the bound of the manifest, and to the bit where every
engine call has the same shape."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from model_store.store import Store
from tests.e2e.test_torch_to_http import publish
from tests.service.harness import Running, running

ROOT = Path(__file__).parents[2]
TRAINED, RANDOM = "gaussian-mixture", "joint-label"
ROWS = 45
NPZ, LINES = {"Accept": "application/x-npz"}, {"Accept": "application/x-ndjson"}
Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("reproducible") / "models"
    opened = Store.open(path)
    opened.import_archive(ROOT / "pretrained" / f"{TRAINED}-1.condflow")
    publish(opened, RANDOM)
    return path


def question(model: str) -> dict[str, Any]:
    extra = {"return_latent": True, "return_log_likelihood": True}
    return {"model": model, "condition": 1, "num_samples": ROWS, "seed": 2**53 - 1, **extra}


def binary(client: httpx.Client, asked: dict[str, Any]) -> Arrays:
    response = client.post("/sample", json=asked, headers=NPZ)
    assert response.status_code == 200, response.text
    with np.load(io.BytesIO(response.content), allow_pickle=False) as file:
        return dict(file)


def from_json(content: dict[str, Any], like: Arrays) -> Arrays:
    named: Arrays = {}
    for name, array in like.items():
        value: Any = content
        for key in name.split("."):
            value = value[key]
        named[name] = np.array(value, np.float64).astype(array.dtype)
    return named


def streamed(client: httpx.Client, asked: dict[str, Any], like: Arrays) -> Arrays:
    response = client.post("/sample", json=asked, headers=LINES)
    lines = [json.loads(line) for line in response.content.splitlines()]
    assert lines[-1]["complete"] is True
    parts = [from_json(line, like) for line in lines[1:-1]]
    return {name: np.concatenate([part[name] for part in parts]) for name in like}


def ways(service: Running, asked: dict[str, Any]) -> Iterator[tuple[str, Arrays]]:
    """The same question in every way; the first one alone and whole."""
    alone = binary(service.client, asked)
    yield "alone", alone
    yield "again", binary(service.client, asked)
    content = service.client.post("/sample", json=asked).json()
    yield "json", from_json(content, alone)
    yield "streamed", streamed(service.client, asked, alone)
    stop = threading.Event()

    def neighbour(place: int) -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            other = {**asked, "seed": place, "num_samples": 1 + 2 * (turn % 5), "condition": 0}
            assert service.client.post("/sample", json=other).status_code == 200

    with ThreadPoolExecutor(2) as threads:
        busy = [threads.submit(neighbour, place) for place in range(2)]
        try:
            for turn in range(2):
                yield f"neighbours {turn}", binary(service.client, asked)
            yield "neighbours, streamed", streamed(service.client, asked, alone)
        finally:
            stop.set()
        for future in busy:
            future.result()


# Few rows per call and more than one call per question: the scheduler cuts at places of its own.
CUT: dict[str, Any] = {"batch_rows": 101}


def collect(store: Path, model: str, **settings: Any) -> list[tuple[str, Arrays]]:
    """All ways, before and after a restart, cut and uncut."""
    answers: list[tuple[str, Arrays]] = []
    for life, more in (("first life", {}), ("second life, cut", CUT)):
        with running(store, **more, **settings) as service:
            answers += [(f"{life}, {way}", got) for way, got in ways(service, question(model))]
    return answers


def differing(answers: list[tuple[str, Arrays]]) -> list[str]:
    first = answers[0][1]
    return [
        f"{way}: {name}"
        for way, got in answers
        for name, array in got.items()
        if array.tobytes() != first[name].tobytes()
    ]


@pytest.mark.parametrize("model", [pytest.param(TRAINED, marks=pytest.mark.full), RANDOM])
def test_noise_to_the_bit_and_the_rest_within_the_bound(store: Path, model: str) -> None:
    answers = collect(store, model)
    first = answers[0][1]
    errors = Store.open(store).resolve(model, None).graph_errors
    bounds = {"samples": errors["decode"].batch_bound, "log_likelihood": errors["score"].batch_bound}
    assert model == TRAINED or None not in bounds.values()
    assert not [found for found in differing(answers) if "latent" in found]
    for way, got in answers:
        assert set(got) == {"samples", "log_likelihood", "latent.z", "latent.v"}, way
        for name, bound in bounds.items():
            most = 1e-5 if bound is None else bound
            apart = np.abs(got[name].astype(np.float64) - first[name]) / np.maximum(1, np.abs(first[name]))
            assert apart.max() <= most, (way, name)


@pytest.mark.parametrize("model", [pytest.param(TRAINED, marks=pytest.mark.full), RANDOM])
def test_to_the_bit_where_every_call_has_one_shape(store: Path, model: str) -> None:
    assert differing(collect(store, model, fixed_rows=64)) == []


def test_a_longer_draw_begins_with_the_shorter_one(store: Path) -> None:
    with running(store, fixed_rows=64) as service:
        long = binary(service.client, question(RANDOM))
        short = binary(service.client, {**question(RANDOM), "num_samples": 20})
    for name, array in short.items():
        np.testing.assert_array_equal(array, long[name][:20], err_msg=name)


@pytest.mark.full
def test_two_threads_keep_the_bits(store: Path) -> None:
    with running(store, fixed_rows=64, threads=2) as service:
        assert differing(list(ways(service, question(TRAINED)))) == []
