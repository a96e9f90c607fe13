"""A device that is gone for good: what is in progress answers 503, liveness and readiness fail, the process exits 1."""

from __future__ import annotations

import asyncio
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from inference.engine import EngineLost
from tests.service.fragile import BREAKS, fragile_device
from tests.service.harness import running, until
from tests.service.slow import slow_down
from tests.support.service_process import ServiceProcess, service_process
from tests.support.wire import JSON, NDJSON, Request, Wire

HEALTH = ("/livez", "/readyz", "/v2/health/live", "/v2/health/ready")


def loglik(x: float) -> Request:
    return Request.json("/loglik", {"model": "plain", "x": [[x]]})


async def until_computing(port: int, wire: Wire) -> bytes:
    """Return when the service has sent the first piece of a stream."""
    asked = {"model": "labels", "condition": 0, "num_samples": 9_000_000}
    await wire.send(Request.json("/sample", asked, NDJSON).whole)
    return await wire.some(1)


def test_the_process_ends_after_telling_everybody(store_path: Path, tmp_path: Path) -> None:
    async def story(service: ServiceProcess) -> int:
        assert (await (await Wire.open(service.port)).ask(loglik(0.5))).status == 200
        health = [await Wire.open(service.port) for _ in HEALTH]
        stream, victim = await Wire.open(service.port), await Wire.open(service.port)
        await until_computing(service.port, stream)
        breaking = await victim.ask(loglik(BREAKS))
        assert breaking.status == 503 and breaking.headers["retry-after"]
        assert breaking.json()["type"] == "urn:condflow:problem:lost-device"
        for wire, path in zip(health, HEALTH, strict=True):
            await wire.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: {JSON}\r\n\r\n".encode())
            assert (await wire.answer()).status == 503
        again = await victim.ask(loglik(0.5))  # nothing more is computed, though the process lingers
        assert again.status == 503
        return await asyncio.to_thread(service.outlive)

    with service_process(store_path, **fragile_device(tmp_path), CONDFLOW_LINGER_S="1") as service:
        assert asyncio.run(story(service)) == 1
        assert "condflow: device cpu is lost" in service.text
        assert "Traceback" not in service.text.split("is lost")[-1]


def test_without_a_signal_to_wait_for_it_ends_by_itself(store_path: Path, tmp_path: Path) -> None:
    with service_process(store_path, **fragile_device(tmp_path)) as service:
        answer = httpx.post(f"{service.url}/loglik", json={"model": "plain", "x": [[BREAKS]]}, timeout=60)
        assert answer.status_code == 503
        assert service.outlive() == 1


@pytest.mark.full
def test_a_signal_afterwards_changes_nothing(store_path: Path, tmp_path: Path) -> None:
    with service_process(store_path, **fragile_device(tmp_path), CONDFLOW_LINGER_S="1") as service:
        httpx.post(f"{service.url}/loglik", json={"model": "plain", "x": [[BREAKS]]}, timeout=60)
        assert service.end(signal.SIGTERM) == 1


def test_what_waits_is_not_kept_waiting(store_path: Path) -> None:
    """The engine is held in a call that will fail; a request behind it fails with it, without a call of its own."""
    with running(store_path, linger_s=3600.0) as service, ThreadPoolExecutor(3) as threads:
        slow = slow_down(service, "plain")
        slow.failure = EngineLost("gone")

        def ask() -> httpx.Response:
            return httpx.post(f"{service.url}/loglik", json={"model": "plain", "x": [[0.5]]}, timeout=60)

        first = threads.submit(ask)
        assert slow.entered.wait(60)
        others = [threads.submit(ask) for _ in range(2)]
        until(lambda: service.parts.admission.requests == 3)
        slow.hold.set()
        for answer in (first, *others):
            assert answer.result().status_code == 503
            assert answer.result().json()["type"] == "urn:condflow:problem:lost-device"
        shed = ("condflow_shed_total", (("reason", "lost-device"),))
        assert service.metrics()[shed] == 3
