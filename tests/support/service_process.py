"""`python -m service` as a process of its own: its output, its gauges, its memory and descriptors, and its end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.support.exposition import Samples, samples_of

ROOT = Path(__file__).parents[2]
PATIENCE_S = 120.0


@dataclass(frozen=True)
class Vitals:
    """What a process holds: resident MiB, open descriptors, threads."""

    memory_mib: float
    descriptors: int
    threads: int


class ServiceProcess:
    """`python -m service` over a store; on a free port unless one is given. Settings as environment variables."""

    def __init__(self, store: Path, *arguments: str, port: int = 0, **environment: str) -> None:
        command = [sys.executable, "-m", "service", "--store", str(store), "--port", str(port), *arguments]
        env = {"PATH": "/usr/bin:/bin", "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1", **environment}
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.lines: list[str] = []
        self._announced = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def wait(self) -> None:
        """Return when it has announced itself: the champions are loaded by then, or it is over."""
        assert self._announced.wait(PATIENCE_S), self.text
        assert self.process.poll() is None, self.text

    @property
    def text(self) -> str:
        """What it has printed so far."""
        return "".join(self.lines)

    @property
    def url(self) -> str:
        """Where it answers."""
        found = re.search(r"http://[^ ]+:\d+", self.text)
        assert found is not None, self.text
        return found.group()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.url.rsplit(":", 1)[1])

    def metrics(self) -> Samples:
        """/metrics now."""
        return samples_of(httpx.get(f"{self.url}/metrics", timeout=PATIENCE_S).text)

    def gauge(self, name: str) -> float:
        """One sample without labels."""
        return self.metrics()[(f"condflow_{name}", ())]

    def vitals(self) -> Vitals:
        """As the kernel counts them."""
        folder = Path(f"/proc/{self.process.pid}")
        status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
        memory, threads = int(status["VmRSS"].split()[0]) / 1024, int(status["Threads"])
        return Vitals(memory, len(list((folder / "fd").iterdir())), threads)

    def cpu_seconds(self) -> float:
        """What it has computed since its start, on all cores: unlike time passed, the same on a busy machine."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self, sig: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal; the exit code."""
        self.process.send_signal(sig)
        return self.outlive()

    def outlive(self) -> int:
        """Wait for its end; the exit code."""
        code = self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        return code

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if "/encode" in line:  # the last line of the announcement
                self._announced.set()
        self._announced.set()


@contextmanager
def service_process(store: Path, *arguments: str, port: int = 0, **environment: str) -> Iterator[ServiceProcess]:
    """Started and announced; killed at the end if it still lives."""
    started = ServiceProcess(store, *arguments, port=port, **environment)
    try:
        started.wait()
        yield started
    finally:
        if started.process.poll() is None:
            started.process.kill()
        started.outlive()


def until_at_rest(service: ServiceProcess) -> None:
    """Return when nothing is in progress: neither requests, nor streams, nor bytes of bodies, nor rows."""
    names = ("requests_in_progress", "streams_in_progress", "body_bytes_held", "queue_rows")
    deadline = time.monotonic() + PATIENCE_S
    while True:
        samples = service.metrics()
        held = {name: value for name in names if (value := samples[(f"condflow_{name}", ())])}
        if not held:
            return
        assert time.monotonic() < deadline, f"still held: {held}"
        time.sleep(0.01)
