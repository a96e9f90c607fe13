"""The ready-made versions: each is served by either engine, on a card in any precision, and together they are small."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from inference.loading import Placement, load
from model_store import Store
from model_store.manifest import Precision

ARCHIVES = sorted((Path(__file__).parents[2] / "pretrained").glob("*.condflow"))
MOST_BYTES = 12_000_000


@pytest.mark.parametrize("archive", ARCHIVES, ids=lambda archive: archive.stem)
def test_it_answers_its_probe_wherever_it_runs(archive: Path, tmp_path: Path) -> None:
    """Torch is on the CPU here, by the path that a card takes."""
    store = Store.open(tmp_path)
    (manifest,) = store.import_archive(archive)
    for placement in (Placement(), *(Placement("cpu:0", precision=precision) for precision in get_args(Precision))):
        load(store, manifest.name, placement=placement).close()


def test_they_are_five_and_small() -> None:
    assert len(ARCHIVES) == 5
    assert sum(archive.stat().st_size for archive in ARCHIVES) < MOST_BYTES
