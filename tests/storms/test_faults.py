"""What breaks around the service: memory, numbers, the disk, the clock. It says so, and answers what it can."""

from __future__ import annotations

import asyncio
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from model_store.signature import ArraySpec, Part, Signature
from model_store.store import Store
from tests.inference import handmade
from tests.inference.graphs import GraphBuilder
from tests.inference.handmade import Version, _version
from tests.service.harness import PATIENCE_S, Running, running, until
from tests.service.versions import publish
from tests.storms.conftest import MODEL
from tests.support.service_process import ROOT, service_process, until_at_rest
from tests.support.wire import NPZ, Request, Wire

SMALL: dict[str, Any] = {"model": MODEL, "x": [[0.5, 1.0]]}


def ask(url: str, **fields: object) -> httpx.Response:
    return httpx.post(f"{url}/loglik", json={**SMALL, **fields}, timeout=PATIENCE_S)


# --- memory ---------------------------------------------------------------------------------------------------------


def test_memory_that_runs_out_is_a_503_for_who_asked_too_much(store: Path) -> None:
    """The kernel grants no more address space; large answers are refused, small ones given, and it goes on after."""
    with service_process(store, CONDFLOW_THREADS="1") as service:
        expected = ask(service.url).json()
        large = Request.json("/sample", {"model": MODEL, "condition": 1, "num_samples": 9_000_000}, NPZ)
        pid = service.process.pid
        free = resource.prlimit(pid, resource.RLIMIT_AS)
        size = int((Path("/proc") / str(pid) / "statm").read_text().split()[0]) * resource.getpagesize()
        resource.prlimit(pid, resource.RLIMIT_AS, (size + 2**25, free[1]))

        async def ask_too_much() -> list[int]:
            wires = [await Wire.open(service.port) for _ in range(4)]
            answers = await asyncio.gather(*(wire.ask(large) for wire in wires))
            assert all("retry-after" in answer.headers for answer in answers)
            return [answer.status for answer in answers]

        assert asyncio.run(ask_too_much()) == [503] * 4
        assert ask(service.url).json() == expected
        resource.prlimit(pid, resource.RLIMIT_AS, free)
        until_at_rest(service)
        again = httpx.post(f"{service.url}/sample", content=large.body, headers=large.headers, timeout=PATIENCE_S)
        assert again.status_code == 200
        assert service.end() == 0


# --- numbers --------------------------------------------------------------------------------------------------------


def logarithms() -> Version:
    """x = log z: no number for every other latent."""
    latent = (Part(name="z", shape=(1,)),)
    decode = GraphBuilder({})
    decode.op("Log", "z", output="x")
    return _version(Signature(data=ArraySpec(shape=(1,)), latent=latent, operations=("decode",)), {}, decode=decode)


def test_outputs_that_are_no_numbers_are_named_and_counted(tmp_path: Path) -> None:
    publish(Store.open(tmp_path / "models"), "log", logarithms())
    with running(tmp_path / "models") as service:
        asked = {"model": "log", "latent": {"z": [[-1.0], [1.0], [0.0]]}, "num_samples": 3}
        answer = service.client.post("/sample", json=asked)
        assert answer.status_code == 200, answer.text
        content = answer.json()
        assert content["samples"] == [[None], [0.0], [None]]
        kinds = {tuple(item["index"]): item["kind"] for item in content["nonfinite"]}
        assert set(kinds.values()) == {"nan", "-inf"}
        counted = ("condflow_nonfinite_outputs_total", (("model", "log"), ("operation", "sample"), ("version", "1")))
        assert service.metrics()[counted] == 2


# --- the disk -------------------------------------------------------------------------------------------------------


@contextmanager
def held_reads(service: Running) -> Iterator[threading.Event]:
    """Every read of the store waits, like that of a disk which does not answer; yields what tells that one does."""
    backend: Any = service.parts.registry.store.backend
    chunks, free, waits = backend.chunks, threading.Event(), threading.Event()

    def slowly(key: str) -> Iterator[bytes]:
        waits.set()
        assert free.wait(PATIENCE_S)
        return chunks(key)

    backend.chunks = slowly
    try:
        yield waits
    finally:
        backend.chunks = chunks
        free.set()


def test_a_disk_that_does_not_answer_holds_up_only_what_needs_it(store: Path) -> None:
    """While many wait for files and a new version for its weights, what is loaded answers as ever."""
    opened = Store.open(store)
    with running(store, load_wait_s=0.1) as service, ThreadPoolExecutor(40) as threads:
        expected = ask(service.url).json()
        digest = expected["digest"]
        with held_reads(service) as waits:
            publish(opened, MODEL, handmade.labels(), metrics={"second": 1.0})
            card = f"{service.url}/models/{MODEL}/versions/1/files/card.md"
            files = [threads.submit(httpx.get, card, timeout=PATIENCE_S) for _ in range(40)]
            assert waits.wait(PATIENCE_S)
            for version in (None, 1, "champion", digest):
                for _ in range(5):
                    answer = ask(service.url, version=version)
                    assert (answer.status_code, answer.json()) == (200, expected), version
            assert service.client.get("/readyz").status_code == 200
            assert "condflow_requests_in_progress" in service.client.get("/metrics").text
            pinned = ask(service.url, version=2)
            assert pinned.status_code in (404, 503)  # not seen yet, or seen and loading
        assert {future.result().status_code for future in files} == {200}
        until(lambda: ask(service.url).json()["version"] == 2, "the new version")


def test_a_store_that_vanishes_is_told_and_what_is_loaded_is_served(store: Path) -> None:
    publish(Store.open(store), MODEL, handmade.labels(), alias=None, metrics={"second": 1.0})
    with service_process(store, CONDFLOW_POLL_SECONDS="0.05", CONDFLOW_THREADS="1") as service:
        expected = ask(service.url).json()
        assert httpx.get(f"{service.url}/readyz").json()["store"] == "readable"
        away = store.with_name("away")
        store.rename(away)
        while service.gauge("store_readable"):
            pass
        ready = httpx.get(f"{service.url}/readyz")
        assert (ready.status_code, ready.json()["store"]) == (200, "unreadable")
        for version in (None, 1, "champion", expected["digest"]):
            answer = ask(service.url, version=version)
            assert (answer.status_code, answer.json()) == (200, expected), version
        assert ask(service.url, version=2).status_code == 503  # known, not loaded, not to be had
        away.rename(store)
        while not service.gauge("store_readable"):
            pass
        Store.open(store).set_alias(MODEL, "champion", 2)
        while httpx.get(f"{service.url}/models/{MODEL}").json()["aliases"]["champion"] != 2:
            pass
        assert service.end() == 0


# --- the clock ------------------------------------------------------------------------------------------------------

JUMPING = f"""
import itertools, sys, time
real, jumps = time.time, itertools.cycle((0.0, 86_400.0, -86_400.0, 3.15e8))
time.time = lambda: real() + next(jumps)
time.time_ns = lambda: int(1e9 * time.time())
from tests.service.harness import running
from pathlib import Path
import httpx
with running(Path(sys.argv[1])) as service:
    for _ in range(20):
        answers = [
            service.client.post("/loglik", json={{"model": "{MODEL}", "x": [[0.5, 1.0]]}}),
            service.client.post("/sample", json={{"model": "{MODEL}", "condition": 1, "num_samples": 30_000}},
                                headers={{"Accept": "application/x-ndjson", "X-Request-Timeout-Ms": "60000"}}),
        ]
        assert [answer.status_code for answer in answers] == [200, 200], answers
        assert b'"complete":true' in answers[1].content.splitlines()[-1]
        assert service.client.get("/readyz").status_code == 200
    assert service.parts.registry.looks > 1
"""


def test_a_wall_clock_that_jumps_by_days_and_years_changes_nothing(store: Path) -> None:
    """Deadlines, turns, polls and timings are counted on the monotonic clock."""
    command = [sys.executable, "-c", JUMPING, str(store)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
