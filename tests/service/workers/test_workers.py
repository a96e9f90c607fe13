"""Real worker processes behind one address: both answer, one may die, and all end together."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from model_store.store import Store
from service.settings import Settings
from service.workers.supervisor import Supervisor
from tests.inference import handmade
from tests.service.fragile import BREAKS, fragile_device
from tests.service.harness import until
from tests.service.versions import damage, publish
from tests.storms.conftest import MODEL, store  # noqa: F401 - a fixture
from tests.support.service_process import ServiceProcess, service_process
from tests.support.wire import NPZ, Request, Wire

TWO = ("--device", "cpu,cpu")
SMALL = {"model": MODEL, "x": [[0.5, 1.0]]}
DRAW = {"model": MODEL, "condition": 1, "num_samples": 50, "seed": 7}
ENVIRONMENT = {"CONDFLOW_THREADS": "1", "CONDFLOW_POLL_SECONDS": "0.05"}


def workers(service: ServiceProcess) -> list[int]:
    """The process ids of the workers that run."""
    pid = service.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children if b"service.workers.worker" in _command(int(child))]


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return b""


def alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def ask(service: ServiceProcess, path: str = "/loglik", body: object = SMALL) -> httpx.Response:
    """On a connection of its own, which the kernel gives to one of the workers."""
    answer = httpx.post(service.url + path, json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer


def counted(service: ServiceProcess, name: str) -> dict[str, float]:
    """A series summed over everything but the worker."""
    sums: dict[str, float] = {}
    for (found, labels), value in service.metrics().items():
        if found == name:
            number = dict(labels)["worker"]
            sums[number] = sums.get(number, 0.0) + value
    return sums


def up(service: ServiceProcess) -> dict[str, float]:
    return counted(service, "condflow_worker_up")


def asked_both(service: ServiceProcess, ask_once: Callable[[], object]) -> bool:
    ask_once()
    rows = counted(service, "condflow_rows_total")
    return set(rows) == {"0", "1"} and all(rows.values())


def test_both_answer_alike_and_end_together(store: Path) -> None:  # noqa: F811
    with service_process(store, *TWO, **ENVIRONMENT) as service:
        assert service.text.count("condflow is ready") == 1 and "2 workers" in service.text
        answers = set()
        until(lambda: asked_both(service, lambda: answers.add(ask(service, "/sample", DRAW).content)), "both")
        assert len(answers) == 1  # which of them was asked cannot be seen
        assert up(service) == {"0": 1, "1": 1}
        pids = workers(service)
        assert len(pids) == 2
        assert service.end() == 0
        assert not any(map(alive, pids))
        assert "Traceback" not in service.text


def test_one_that_is_killed_is_not_missed_and_comes_back(store: Path) -> None:  # noqa: F811
    """Meanwhile a file is damaged, so that the new one cannot become ready: it gets no connection until it is."""
    with service_process(store, *TWO, **ENVIRONMENT) as service:
        first, second = workers(service)
        opened = Store.open(store)
        damage(opened, MODEL, 1, "weights.safetensors")
        os.kill(first, signal.SIGKILL)
        until(lambda: len(set(workers(service)) - {first, second}) == 1, "the new worker")
        for _ in range(30):
            ask(service)
        assert sorted(up(service).values()) == [0, 1]
        damage(opened, MODEL, 1, "weights.safetensors")  # the same bit again, as it was
        publish(opened, MODEL, handmade.labels(), metrics={"second": 1.0})
        until(lambda: sorted(up(service).values()) == [1, 1], "its readiness")
        assert second in workers(service)
        until(lambda: asked_both(service, lambda: ask(service)), "both")
        assert service.end(signal.SIGINT) == 0


@pytest.mark.full
def test_sigterm_under_load_loses_nothing_that_was_accepted(store: Path) -> None:  # noqa: F811
    async def story(service: ServiceProcess) -> int:
        draw = Request.json("/sample", {**DRAW, "num_samples": 300_000}, NPZ)
        wires = [await Wire.open(service.port) for _ in range(8)]
        answers = [asyncio.create_task(wire.ask(draw)) for wire in wires]
        while sum((await asyncio.to_thread(counted, service, "condflow_requests_in_progress")).values()) < 8:
            assert not any(task.done() for task in answers)
        service.process.send_signal(signal.SIGTERM)
        bodies = [(answer.status, answer.body) for answer in await asyncio.gather(*answers)]
        assert bodies[0][0] == 200 and len(set(bodies)) == 1
        return await asyncio.to_thread(service.outlive)

    with service_process(store, *TWO, **ENVIRONMENT, CONDFLOW_FIXED_ROWS="64", CONDFLOW_DRAIN_S="240") as service:
        assert asyncio.run(story(service)) == 0


def test_a_worker_that_loses_its_device_is_replaced(store: Path, tmp_path: Path) -> None:  # noqa: F811
    with service_process(store, *TWO, **ENVIRONMENT, **fragile_device(tmp_path)) as service:
        before = set(workers(service))
        lost = httpx.post(f"{service.url}/loglik", json={"model": MODEL, "x": [[BREAKS, 1.0]]}, timeout=60)
        assert lost.status_code == 503
        until(lambda: len(set(workers(service)) - before) == 1, "its successor")
        until(lambda: sorted(up(service).values()) == [1, 1], "its readiness")
        assert service.end() == 0


@pytest.mark.full
def test_when_all_are_dead_the_service_ends(store: Path) -> None:  # noqa: F811
    with service_process(store, *TWO, **ENVIRONMENT) as service:
        for pid in workers(service):
            os.kill(pid, signal.SIGKILL)
        assert service.outlive() == 1


@pytest.mark.full
def test_without_their_supervisor_the_workers_end(store: Path) -> None:  # noqa: F811
    with service_process(store, *TWO, **ENVIRONMENT) as service:
        pids = workers(service)
        service.process.kill()
        until(lambda: not any(map(alive, pids)), "the end of the workers")


@pytest.mark.parametrize("setting", [pytest.param("device", marks=pytest.mark.full), "keys"])
def test_a_bad_start_ends_with_the_worker_that_failed(store: Path, tmp_path: Path, setting: str) -> None:  # noqa: F811
    keys = tmp_path / "keys"
    keys.write_text("not a key line\n")
    arguments = ("--device", "cuda:0,cuda:1") if setting == "device" else (*TWO, "--keys-file", str(keys))
    if setting == "device" and Path("/dev/nvidiactl").exists():
        pytest.skip("says what happens without a card")
    failed = ServiceProcess(store, *arguments)
    assert failed.outlive() == 1
    assert "condflow: worker" in failed.text and "Traceback" not in failed.text


def test_a_worker_that_the_machine_has_no_room_for_does_not_end_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts as one that has ended, which is started again after a pause."""

    async def refuse(*command: object, **options: object) -> None:
        raise BlockingIOError("no process left")

    monkeypatch.setattr(asyncio, "create_subprocess_exec", refuse)
    assert asyncio.run(Supervisor(Settings(), ["cpu", "cpu"])._live(1)) == 1
