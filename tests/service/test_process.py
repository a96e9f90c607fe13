"""The service as a process: the command line, what it prints, how it ends, and what it must not import."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from service.keys import parse_line
from tests.support.service_process import ROOT, service_process


def test_announced_curls_work_and_ctrl_c_ends_it_cleanly(store_path: Path) -> None:
    with service_process(store_path) as service:
        commands = [shlex.split(line) for line in service.lines if line.strip().startswith("curl")]
        assert [command[2].removeprefix(service.url) for command in commands] == [
            "/sample",
            "/loglik",
            "/infer-condition",
            "/encode",
        ]
        for command in commands:
            url, header, data = command[2], command[command.index("-H") + 1], command[command.index("-d") + 1]
            name, value = header.split(": ")
            response = httpx.post(url, content=data, headers={name: value}, timeout=60)
            assert response.status_code == 200, response.text
        assert service.end(signal.SIGINT) == 0
        assert "Traceback" not in service.text


def test_sigterm_finishes_what_was_accepted(store_path: Path) -> None:
    """Requests that take a while are in progress when the signal comes; all are answered, and the exit is 0."""
    body = {"model": "labels", "condition": 0, "num_samples": 3_000_000, "seed": 1}
    headers = {"Accept": "application/x-npz"}
    with service_process(store_path, CONDFLOW_THREADS="1") as service, ThreadPoolExecutor(3) as threads:
        asked = [
            threads.submit(lambda: httpx.post(service.url + "/sample", json=body, headers=headers, timeout=120))
            for _ in range(3)
        ]
        while service.gauge("requests_in_progress") < 3:  # fewer are accepted yet
            assert not any(future.done() for future in asked)
        assert service.end() == 0
        for future in asked:
            assert future.result().status_code == 200


def test_lingering_is_unready_but_serves(store_path: Path) -> None:
    with service_process(store_path, CONDFLOW_LINGER_S="3600") as service:
        service.process.send_signal(signal.SIGTERM)
        while httpx.get(service.url + "/readyz").status_code != 503:
            pass
        assert httpx.post(service.url + "/loglik", json={"model": "plain", "x": [0.0]}).status_code == 200
        assert httpx.get(service.url + "/livez").status_code == 200


def test_the_cpu_service_never_imports_torch(store_path: Path) -> None:
    """A whole life in one process, with torch made impossible to import."""
    script = f"""
import sys
sys.modules["torch"] = None
from tests.service.harness import running
from pathlib import Path
with running(Path({str(store_path)!r})) as service:
    for path, body in (
        ("sample", {{"model": "labels", "condition": 1}}),
        ("loglik", {{"model": "padded", "x": [0.0], "condition": 1}}),
        ("infer-condition", {{"model": "vector", "x": [0.0]}}),
        ("encode", {{"model": "plain", "x": [0.0]}}),
    ):
        assert service.client.post("/" + path, json=body).status_code == 200
    assert service.client.get("/docs").status_code == 200
foreign = {{"torch", "flows", "training", "lightning", "sklearn", "matplotlib", "onnx", "scipy"}}
found = {{name for name, module in sys.modules.items() if module is not None and name.split(".")[0] in foreign}}
assert not found, found
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr


def test_importing_the_factory_has_no_side_effects() -> None:
    script = """
import threading, os, sys
before = set(os.listdir("/proc/self/fd"))
import service.app
assert threading.active_count() == 1, threading.enumerate()
import asyncio
app = service.app.create_app()
other = service.app.create_app()
assert app.state.parts is not other.state.parts
assert app.state.parts.metrics.registry is not other.state.parts.metrics.registry
assert threading.active_count() == 1, threading.enumerate()
assert not {"PIL", "yaml", "service.openapi"} & set(sys.modules)  # memory for what may never be asked
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "service", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=200
    )


def test_keys_new() -> None:
    done = run("keys", "new", "lab", "--scope", "infer", "--scope", "metrics")
    assert done.returncode == 0, done.stderr
    text = re.search(r"cf_[\w-]{43}", done.stdout).group()  # type: ignore[union-attr]
    key = parse_line(done.stdout.splitlines()[-1].split(": ", 1)[1])
    assert key.name == "lab"
    assert key.scopes == {"infer", "metrics"}
    assert text not in key.line


@pytest.mark.parametrize("arguments", [("keys", "new", "a b"), ("keys", "new", "lab", "--scope", "root")])
def test_keys_new_refuses(arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_a_bad_start_says_why(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("not a key line\n")
    done = run("--store", str(tmp_path), "--port", "0", "--keys-file", str(keys))
    assert done.returncode == 1
    assert "key line" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="says what happens without a card")
def test_a_missing_card_is_said_at_once(tmp_path: Path) -> None:
    done = run("--store", str(tmp_path), "--port", "0", "--device", "cuda")
    assert done.returncode == 1
    assert "condflow: device cuda: no CUDA device is available here" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_taken_port_says_so(service_port: int, tmp_path: Path) -> None:
    done = run("--store", str(tmp_path), "--port", str(service_port))
    assert done.returncode == 1
    assert "already in use" in done.stderr and f"PORT={service_port + 1}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def service_port() -> Iterator[int]:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as held:
        yield held.getsockname()[1]
