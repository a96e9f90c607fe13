"""What a version learned from, for its card: the file, settings of its own, and the range of every column."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

import numpy as np

from model_store.manifest import Manifest
from model_store.markdown import table, text
from training.datasets.base import Dataset
from training.recipe import departures

_TOLD_ELSEWHERE = ("about", "data.file", "data.x", "data.condition")


def training_data(manifest: Manifest, dataset: Dataset) -> list[str]:
    """Blocks of Markdown. Names of files and columns and values of settings are untrusted and escaped."""
    rows = [("rows", f"{len(dataset.train)} training, {len(dataset.validation)} validation, {len(dataset.test)} test")]
    config = manifest.lineage.config
    if file := config.get("data", {}).get("file"):
        rows.insert(0, ("file", text(PurePath(file).name)))
    changed = [f"{place}={_shown(value)}" for place, value in departures(config) if place not in _TOLD_ELSEWHERE]
    if changed:
        rows.append(("settings that differ from the recipe", "; ".join(map(text, changed))))
    rows += [("note", text(note)) for note in dataset.notes]
    blocks = [table(("what", "value"), rows)]
    if dataset.columns:
        header = ("column", "role", "taken as", "least", "greatest", "jitter")
        blocks += [
            "The range of every column in the training rows. Answers beyond it are extrapolations.",
            table(header, _columns(dataset)),
        ]
    if dataset.spread:
        blocks.append(
            "Jitter: those columns have few distinct values; theirs were spread at random over the gaps, in test rows "
            "too. Likelihoods are those of spread values; samples are not rounded."
        )
    return blocks


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _columns(dataset: Dataset) -> list[tuple[str, ...]]:
    ends = {
        "x": _ends(dataset.train.x, dataset.data.is_image),
        "condition": _ends(dataset.train.condition, dataset.condition.kind == "image"),
    }
    rows: list[tuple[str, ...]] = []
    for column in dataset.columns:
        least, greatest = next(ends[column.role])
        jitter = "" if column.step is None else f"U(-{column.step / 2:g}, {column.step / 2:g})"
        rows.append((text(column.name), column.role, text(column.kind), least, greatest, jitter))
    return rows


def _ends(values: np.ndarray | None, one: bool) -> Iterator[tuple[str, str]]:
    """Least and greatest of one column after the other, of an image over all pixels; empty for labels."""
    if values is None or values.ndim == 1:
        return iter([("", "")])
    flat = values.reshape(-1, 1) if one else values.reshape(len(values), -1)
    return ((f"{low:g}", f"{high:g}") for low, high in zip(flat.min(axis=0), flat.max(axis=0), strict=True))
