"""Where a fit lies unless a folder is named: fits of different data do not share one."""

from __future__ import annotations

import os
import re
from pathlib import Path

from training.datasets.base import Dataset
from training.datasets.table import TableData
from training.errors import TrainingError
from training.recipe import Recipe

RUNS = Path("runs")


def default_folder(recipe: Recipe, dataset: Dataset, runs: Path = RUNS) -> Path:
    """`runs/<recipe>`; of a table `runs/<recipe>-<file>-<digest of its rows, columns and split>`.

    The same data lead to the same folder, wherever the file lies, so that `--resume` finds it.
    """
    if not isinstance(recipe.data, TableData):
        return runs / recipe.name
    file = re.sub(r"[^\w.-]+", "-", Path(recipe.data.file).stem)[:40]
    return runs / f"{recipe.name}-{file}-{dataset.digest[:8]}"


def fits_beside(folder: Path, recipe: Recipe, record: str) -> list[Path]:
    """Other folders of fits of the recipe, by their `record`: where `folder` holds none, one of them may be meant."""
    found = (path.parent for path in folder.parent.glob(f"{recipe.name}*/{record}"))
    return sorted(path for path in found if path != folder)


def refuse_no_folder(option: str, path: Path) -> None:
    """Raises TrainingError where `path`, or the nearest place above it that exists, is a file or cannot be written."""
    nearest = next(place for place in (path, *path.parents) if place.exists())
    if not nearest.is_dir():
        raise TrainingError(f"{option} {path}: expected a folder, {nearest} is a file")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise TrainingError(f"{option} {path}: {nearest} cannot be written to")
