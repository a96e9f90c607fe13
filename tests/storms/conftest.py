"""The store that storms rage over."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_store.store import Store
from tests.inference import handmade
from tests.service.versions import publish

MODEL = "labels"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """One cheap model of three labels in two dimensions, so that a storm costs more of the service than of its flow."""
    path = tmp_path / "models"
    publish(Store.open(path), MODEL, handmade.labels())
    return path
