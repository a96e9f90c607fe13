"""`make serve` on a fresh clone: environment, ready-made models, the printed curls, a clean end."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ANSWERS = {
    "/sample": "samples",
    "/loglik": "log_likelihood",
    "/infer-condition": "label",
    "/encode": "latent",
}

pytestmark = [pytest.mark.full, pytest.mark.timeout(900)]


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port: int = held.getsockname()[1]
        return port


@contextmanager
def made(clone: Path, port: int) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """`make serve` up to its last printed curl: the process and the curls."""
    python = getattr(sys, "_base_executable", sys.executable)
    process = subprocess.Popen(
        ["make", "serve", f"PORT={port}", f"PYTHON={python}"],
        cwd=clone,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    )
    assert process.stdout is not None
    lines: list[str] = []
    try:
        for line in process.stdout:
            lines.append(line)
            if "/encode" in line:
                break
        assert process.poll() is None, "".join(lines)
        yield process, [line for line in lines if line.strip().startswith("curl")]
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        process.stdout.close()


def test_a_stranger_serves_asks_and_stops(tmp_path: Path) -> None:
    """Twice: the second start finds the environment and the store of the first."""
    clone = tmp_path / "condflow"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    port = free_port()
    for _ in range(2):
        with made(clone, port) as (process, curls):
            assert len(curls) == len(ANSWERS)
            for curl in curls:
                path = re.search(r"http://[^/]+(/[a-z-]+)", curl)
                assert path is not None
                answer = subprocess.run(["bash", "-c", curl], capture_output=True, text=True, timeout=60, check=True)
                assert ANSWERS[path.group(1)] in json.loads(answer.stdout), answer.stdout
            os.killpg(process.pid, signal.SIGINT)
            ends = (0, 2, 130, -signal.SIGINT)  # make hands on that it was interrupted: by its code, or by the signal
            assert process.wait(60) in ends
    site = next((clone / ".venv" / "lib").glob("python*/site-packages"))
    assert not (site / "torch").exists()
    status = subprocess.run(["git", "status", "--porcelain"], cwd=clone, capture_output=True, text=True, check=True)
    assert status.stdout == ""
