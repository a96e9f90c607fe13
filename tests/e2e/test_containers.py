"""The real images under the real compose file: three endpoints from a container, a trainer beside it."""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.test_two_commands import free_port
from tests.service.harness import until

ROOT = Path(__file__).parents[2]
PATIENCE_S = 1500


def compose_command() -> list[str] | None:
    """`docker compose` or its elder, where an engine answers."""
    if not shutil.which("docker") or subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
        return None
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    return ["docker", "compose"]


COMPOSE = compose_command()
pytestmark = [
    pytest.mark.full,
    pytest.mark.timeout(PATIENCE_S),
    pytest.mark.skipif(COMPOSE is None, reason="no Docker engine answers"),
]


@pytest.fixture
def compose(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Runs docker-compose in a project of its own; at the end its containers and volumes are gone."""
    assert COMPOSE is not None
    project, port = f"condflow-{uuid.uuid4().hex[:8]}", free_port()
    environment = {**os.environ, "PORT": str(port), "CONDFLOW_DATA": str(tmp_path)}

    def run(*arguments: str) -> str:
        command = [*(COMPOSE or []), "-p", project, *arguments]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run.url = f"http://127.0.0.1:{port}"  # type: ignore[attr-defined]
    try:
        yield run
    finally:
        run("--profile", "cpu", "--profile", "trainer", "down", "--volumes")


def ready(url: str) -> bool:
    try:
        return httpx.get(url + "/readyz").status_code == 200
    except httpx.TransportError:
        return False


def test_a_container_answers_and_picks_up_what_the_trainer_publishes(compose: Callable[..., str]) -> None:
    url: str = compose.url  # type: ignore[attr-defined]
    compose("--profile", "cpu", "up", "--build", "--detach", "service-cpu")
    until(lambda: ready(url), "the container's readiness")
    with httpx.Client(base_url=url, timeout=60) as client:
        drawn = client.post("/sample", json={"model": "fashion-mnist", "condition": "Bag", "seed": 1})
        assert drawn.status_code == 200, drawn.text
        x = drawn.json()["samples"]
        scored = client.post("/loglik", json={"model": "fashion-mnist", "x": x, "condition": "Bag"})
        assert scored.status_code == 200, scored.text
        read = client.post("/infer-condition", json={"model": "fashion-mnist", "x": x})
        assert read.status_code == 200, read.text

        settings = ("fit.epochs=1", "fit.steps_per_epoch=5", "evaluation.rows=200", "evaluation.c2st=0")
        small = [part for setting in settings for part in ("--set", setting)]
        compose(
            *("--profile", "trainer", "run", "--rm", "trainer", "fit", "gaussian-mixture"),
            *("--publish", "fresh", "--run-dir", "/runs/fresh", *small),
        )
        until(lambda: client.get("/models/fresh").status_code == 200, "the trained version")
        assert client.post("/sample", json={"model": "fresh", "condition": 3}).status_code == 200


def test_the_image_runs_as_nobody_in_particular_and_holds_no_torch(compose: Callable[..., str]) -> None:
    compose("--profile", "cpu", "build", "service-cpu")
    script = "import importlib.util as u, os; print(os.getuid(), u.find_spec('torch'))"
    said = compose(
        "--profile", "cpu", "run", "--rm", "--no-deps", "--entrypoint", "python", "service-cpu", "-c", script
    )
    assert said.split() == ["10001", "None"]
