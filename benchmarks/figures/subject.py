"""What is measured: a published version and the data set that it was fitted to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from inference.loaded import Loaded
from model_store import Manifest, Store
from training import datasets, recipe
from training.datasets.base import Dataset
from training.evaluation.asking import Asked
from training.publishing import load_reference
from training.recipe import Recipe


class Unmeasurable(RuntimeError):
    """The version is not what the row is about, or its data are not to be had."""


@dataclass(frozen=True)
class Subject:
    """A loaded version with its recipe and data set."""

    loaded: Loaded
    manifest: Manifest
    recipe: Recipe
    dataset: Dataset

    def asked(self, seed: int, draws: int | None = None) -> Asked:
        """The version to be asked, with its own draws unless told."""
        return Asked(self.loaded, draws or self.loaded.default_draws, seed, self.dataset.class_prior)

    @property
    def name(self) -> str:
        """name@version."""
        return f"{self.manifest.name}@{self.manifest.version}"

    @property
    def epsilon(self) -> float | None:
        """The sd of the relaxed condition of a joint flow; None for other families."""
        model = self.recipe.model
        flow = model.get("flow", model)
        return float(flow.get("epsilon", 0.1)) if flow.get("family") == "joint" else None

    def facts(self) -> dict[str, str]:
        """A row of the page's table of versions."""
        lineage = self.manifest.lineage
        return {
            "version": self.name,
            "digest": f"`{self.manifest.digest[:12]}`",
            "recipe": lineage.recipe,
            "seed": str(lineage.seed),
            "data digest": f"`{lineage.data_digest[:12]}`",
            "fitted at commit": lineage.code_version,
        }


@contextmanager
def subject(store: Store, reference: str) -> Iterator[Subject]:
    """Load `NAME[@V]` and the data set that it was fitted to. Raises Unmeasurable when that is not at hand."""
    loaded, manifest = load_reference(store, reference)
    try:
        if not manifest.lineage.config:
            raise Unmeasurable(f"{reference} was not fitted from a recipe: its data set is not known")
        chosen = recipe.check(dict(manifest.lineage.config))
        dataset = datasets.load(chosen.data)
        if dataset.digest != manifest.lineage.data_digest:
            raise Unmeasurable(f"{reference}: the data at hand are not those that it was fitted to")
        yield Subject(loaded, manifest, chosen, dataset)
    finally:
        loaded.close()


def present(store: Store, names: tuple[str, ...]) -> list[str]:
    """Those of `names` that the store has. Raises Unmeasurable if there is none."""
    found = [name for name in names if name in store.models()]
    if not found:
        raise Unmeasurable(
            f"the store has none of {', '.join(names)}; fit them first: python -m training fit RECIPE --publish NAME"
        )
    return found
