"""A version that was exported without a record of lower precisions gains one, and nothing else of it changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from inference.engine import EngineError
from inference.loading import Placement, load
from model_store import Draft, Manifest, Store
from tests.inference import handmade
from tests.inference.exported import exported, manifest_of
from tests.service.versions import publish
from tests.training.test_cli import run

BF16 = Placement("cpu:0", precision="bf16")
CARD = "# old\n\n## Where it came from\n\n| what | value |\n| --- | --- |\n| recipe | old |\n"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path)


def publish_without(store: Store, name: str, **fields: object) -> Manifest:
    """As exports were before they measured lower precisions."""
    manifest = manifest_of(name, precision_errors={}, metrics={"nll": 2.5}, **fields)
    kept = {field: getattr(manifest, field) for field in Draft.model_fields}
    return store.publish(Draft(**{**kept, "name": name}), {**exported(name)[1].files, "card.md": CARD.encode()})


@pytest.mark.parametrize("name", ["joint-label", "coupling-image", "latent-joint"])
def test_it_may_be_served_in_a_lower_precision_and_is_the_same(store: Store, tmp_path: Path, name: str) -> None:
    before = publish_without(store, name)
    with pytest.raises(EngineError, match=f"`python -m training precision {name}` does"):
        load(store, name, placement=BF16)
    result = run("precision", name, "--store", tmp_path)
    assert result.exit_code == 0 and f"published {name}@2" in result.output
    after = store.resolve(name)
    assert set(after.precision_errors) == {"tf32", "bf16"}
    assert all(set(errors) == set(after.signature.operations) for errors in after.precision_errors.values())
    load(store, name, placement=BF16).close()
    changed = {"precision_errors", "lineage"}
    for field in set(Draft.model_fields) - changed:
        assert getattr(after, field) == getattr(before, field), field
    assert after.lineage == before.lineage.model_copy(update={"parents": (before.digest,)})
    differing = set(before.files) ^ set(after.files)
    assert {entry.path for entry in differing} == {"card.md"}


def test_the_card_says_what_was_measured(store: Store, tmp_path: Path) -> None:
    publish_without(store, "joint-label")
    run("precision", "joint-label", "--store", tmp_path)
    card = store.read(store.resolve("joint-label"), "card.md").decode()
    assert card.startswith("# old\n\n## Where it came from\n") and card.count("## Where it came from") == 1
    assert "decode in bf16 against float64" in card and "| recipe | old |" not in card


def test_what_has_a_record_or_was_brought_as_graphs_is_refused_in_a_line(store: Store, tmp_path: Path) -> None:
    publish_without(store, "joint-label")
    publish(store, "brought", handmade.labels())
    run("precision", "joint-label", "--store", tmp_path)
    for reference, message in (
        ("joint-label@2", "joint-label@2 has a record of bf16, tf32"),
        ("brought", "brought@1 was brought as graphs, which run in float32 alone"),
        ("nobody", "nobody"),
    ):
        result = run("precision", reference, "--store", tmp_path)
        assert result.exit_code == 2 and message in result.output and "Traceback" not in result.output
