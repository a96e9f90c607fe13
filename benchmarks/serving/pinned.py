"""Processes pinned to a core each: the server's whole tree to one, whatever makes load to the other."""

from __future__ import annotations

import http.client
import json
import os
import resource
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks.serving.load import Load, spec

SERVER_CORE, LOAD_CORE = 0, 1
_ROOT = Path(__file__).parent.parent.parent
_LUA = Path(__file__).parent / "wrk.lua"
_MARK = "BENCH_RUN"
_PATIENCE_S = 240.0
_STOP_S = 10.0


class Failed(RuntimeError):
    """A server did not start, or a load generator failed."""


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """One thread per process, and this tree's packages importable."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(_ROOT), **extra}


def pinned(core: int, command: Sequence[str]) -> list[str]:
    """The command, its children too, on one core."""
    return ["taskset", "-c", str(core), *command]


class Server:
    """A server's process tree, as a context: started, ready when it answered a real request, ended with all its kin."""

    def __init__(self, command: Sequence[str], extra: Mapping[str, str], port: int, first: Load, log: Path) -> None:
        self._command, self._extra, self._port, self._first, self._log = command, extra, port, first, log
        self._mark = uuid.uuid4().hex
        self.ready_s = 0.0

    def __enter__(self) -> Server:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        started = time.perf_counter()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                pinned(SERVER_CORE, self._command),
                env=environment({**self._extra, _MARK: self._mark}),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._wait(started + _PATIENCE_S)
        except BaseException:
            self._stop()
            raise
        self.ready_s = time.perf_counter() - started
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop()

    def memory_mib(self) -> float:
        """Proportional set size of all its processes: shared pages are counted once."""
        total = 0
        for process in self._processes():
            try:
                lines = (process / "smaps_rollup").read_text().splitlines()
            except OSError:
                continue
            total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        return total / 1024

    def _wait(self, deadline: float) -> None:
        said = "nothing"
        while time.perf_counter() < deadline:
            if self._process.poll() is not None:
                raise Failed(f"ended with {self._process.returncode}: {self._tail()}")
            try:
                status, body, _ = ask(self._first)
                if status == 200:
                    return
                said = f"{status} {body[:200]!r}"
            except (OSError, http.client.HTTPException) as error:
                said = str(error)
            time.sleep(0.01)
        raise Failed(f"not ready after {_PATIENCE_S:g} s, last answer: {said}; {self._tail()}")

    def _tail(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return " / ".join(lines[-3:])[-400:]

    def _processes(self) -> list[Path]:
        wanted = f"{_MARK}={self._mark}".encode()
        found = []
        for folder in Path("/proc").iterdir():
            try:
                if folder.name.isdigit() and wanted in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(folder)
            except OSError:
                continue
        return found

    def _stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        deadline = time.perf_counter() + _STOP_S
        while time.perf_counter() < deadline and (self._process.poll() is None or self._processes()):
            time.sleep(0.05)
        for folder in self._processes():
            try:
                os.kill(int(folder.name), signal.SIGKILL)
            except ProcessLookupError:
                continue
        self._process.wait()
        while self._processes() and time.perf_counter() < deadline + _STOP_S:
            time.sleep(0.05)


def ask(load: Load, timeout: float = 300.0) -> tuple[int, bytes, float]:
    """One request from this process: status, body, seconds."""
    connection = http.client.HTTPConnection("127.0.0.1", load.port, timeout=timeout)
    try:
        started = time.perf_counter()
        connection.request("POST", load.path, load.body, load.headers)
        answer = connection.getresponse()
        body = answer.read()
        return answer.status, body, time.perf_counter() - started
    finally:
        connection.close()


def generate(load: Load, beside: Load | None = None) -> dict[str, Any]:
    """What our generator measured of `load`, with another one running `beside` it."""
    other = None if beside is None else _start(beside)
    try:
        return _finish(_start(load))
    finally:
        if other is not None:
            _finish(other)


def wrk(load: Load) -> dict[str, Any]:
    """What wrk measured, and which part of its core it used."""
    url = f"http://127.0.0.1:{load.port}{load.path}"
    count = f"-c{load.connections}"

    def once(seconds: float) -> str:
        command = ["wrk", "-t1", count, f"-d{seconds:g}s", "--timeout", "60s", "-s", str(_LUA), url]
        done = subprocess.run(
            pinned(LOAD_CORE, command), env={**os.environ, "BENCH_BODY": load.body}, capture_output=True, text=True
        )
        if done.returncode:
            raise Failed(f"wrk: {done.stderr or done.stdout}")
        return done.stdout.strip().splitlines()[-1]

    once(1)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    line = once(load.seconds)
    seconds = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return json.loads(line) | {"generator_cpu": busy / seconds}


def _start(load: Load) -> subprocess.Popen[str]:
    command = pinned(LOAD_CORE, [sys.executable, "-m", "benchmarks.serving.load", spec(load)])
    return subprocess.Popen(command, env=environment({}), stdout=subprocess.PIPE, text=True)


def _finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    text, _ = process.communicate()
    if process.returncode:
        raise Failed(f"the load generator ended with {process.returncode}")
    return json.loads(text)
