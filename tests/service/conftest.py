"""A store with one version of every kind, and one service over it for all tests that change nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from inference.loaded import Loaded
from inference.loading import load
from model_store.store import Store
from tests.service.harness import Running, running
from tests.service.versions import fill


@pytest.fixture(scope="session")
def store_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "models"
    fill(Store.open(path))
    return path


@pytest.fixture(scope="session")
def service(store_path: Path) -> Iterator[Running]:
    with running(store_path) as started:
        yield started


@pytest.fixture(scope="session")
def loaded(store_path: Path) -> dict[str, Loaded]:
    """The same versions loaded beside the service, to compare its answers with."""
    store = Store.open(store_path)
    return {name: load(store, name) for name in store.models()}
