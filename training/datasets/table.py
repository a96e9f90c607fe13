"""Anyone's table: kinds and scalings are detected, shown, and can be set otherwise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from model_store.signature import (
    ArraySpec,
    ConditionSpec,
    Frozen,
    ImageCondition,
    LabelCondition,
    NoCondition,
    VectorCondition,
)
from training.datasets import table_checks, table_reading
from training.datasets.base import Column, Dataset, Note, Split, split_rows
from training.datasets.support import Support, supported
from training.errors import DataError, nearest

Names = tuple[str, ...]
LABEL_CLASSES = 20
LEAST_ROWS = 50


class TableData(Frozen):
    """`x` and `condition` name columns (.csv, .parquet) or arrays (.npz, rows first)."""

    set: Literal["table"] = Field("table", description="your own table")
    file: str = Field(description="--data FILE: a .csv, .parquet or .npz file")
    x: Names = Field(min_length=1, description="--x NAMES: columns or arrays whose density is learned")
    condition: Names = Field((), description="--condition NAMES: those that are given; none is fine")
    kind: Literal["auto", "none", "label", "vector", "image"] = Field(
        "auto", description="what the condition is: auto (detected), none, label, vector, image"
    )
    support: dict[str, Support] = Field(
        {}, description="where samples of x stay: {NAME: positive} or {NAME: [0, 1]}; else anywhere"
    )
    jitter: bool = Field(True, description="spread an x of few distinct values evenly over the gaps between them")
    missing: Literal["refuse", "drop"] = Field(
        "refuse", description="rows with missing or infinite values: refuse the file, or drop the rows"
    )
    leaks: Literal["refuse", "allow"] = Field(
        "refuse", description="a condition that determines an x: refuse it, or allow it"
    )
    validation: float = Field(0.1, gt=0, lt=0.5, description="share of rows for early stopping and calibration")
    test: float = Field(0.1, gt=0, lt=0.5, description="share of rows for the figures of the model card")
    seed: int = Field(0, description="of the split into training, validation, test, and of the jitter")


def load(config: TableData) -> Dataset:
    """Read, check, detect, split. Raises DataError in plain words for what is unfit."""
    _refuse_repeated(config)
    path = Path(config.file)
    arrays = table_reading.read(path, config.x + config.condition)
    _refuse_text(config, arrays)
    table_checks.refuse_beyond_float32(arrays)
    arrays, notes = _complete(config, arrays)
    rows = len(arrays[config.x[0]])
    if rows < LEAST_ROWS:
        why = "".join(f" ({note})" for note in notes)
        raise DataError(
            f"{path}: {rows} rows are too few to fit and to check a density; {LEAST_ROWS} are the least{why}"
        )
    x, data, columns = _data(config, {name: arrays[name] for name in config.x})
    condition, spec, described = _condition(config, {name: arrays[name] for name in config.condition})
    if isinstance(spec, VectorCondition) and condition is not None and len(data.shape) == 1:
        names = [column.name for column in described]
        notes += _leaks(config, table_checks.leaks([column.name for column in columns], x, names, condition))
    if len(data.shape) == 1:
        x, columns = _jittered(x, columns, config)
        bare = [index for index, column in enumerate(columns) if column.step is None]
        notes += table_checks.spikes([columns[index].name for index in bare], x[:, bare])
    everything = Split(
        x if data.is_integer else x.astype(np.float32),
        condition.astype(np.float32) if condition is not None and condition.dtype == np.float64 else condition,
    )
    train, validation, test = split_rows(rows, config.validation, config.test, config.seed)
    if isinstance(spec, LabelCondition) and condition is not None:
        notes += table_checks.rare_classes(config.condition[0], spec.classes, condition, train)
    return Dataset(
        name=path.stem,
        data=data,
        condition=spec,
        train=everything.take(train),
        validation=everything.take(validation),
        test=everything.take(test),
        columns=tuple(columns + described),
        notes=tuple(notes),
    )


def _refuse_repeated(config: TableData) -> None:
    """Raises DataError for a name that is given twice."""
    for option, names in (("--x", config.x), ("--condition", config.condition)):
        if repeated := [name for name in names if names.count(name) > 1]:
            raise DataError(f"{repeated[0]}: named {names.count(repeated[0])} times in {option}, expected once")
    if both := set(config.x) & set(config.condition):
        raise DataError(f"{', '.join(sorted(both))}: named in both --x and --condition, so the condition leaks x")


def _refuse_text(config: TableData, arrays: dict[str, np.ndarray]) -> None:
    """Raises DataError that names the row and the cell of a text where numbers are needed."""
    why = "x needs numbers, this column holds text; as a label it can be the --condition"
    for name in config.x:
        table_checks.refuse_text(name, arrays[name], why)
    if config.kind == "vector" or (config.kind == "auto" and len(config.condition) > 1):
        for name in config.condition:
            why = "holds text; a label stands alone in --condition, or is a column of 0 and 1 for each of its values"
            table_checks.refuse_text(name, arrays[name], why)
    elif config.kind == "auto" and config.condition:
        (name,) = config.condition
        why = "text among numbers; put a number there, or take the column as a label with --set data.kind=label"
        table_checks.refuse_text(name, arrays[name], why, most=0.5)


def _complete(config: TableData, arrays: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], list[str]]:
    """The rows without missing values, and what was dropped. Raises DataError where they are to be refused."""
    if config.missing == "refuse":
        table_checks.refuse_missing(arrays)
        return arrays, []
    lacking = table_checks.missing(arrays)
    counts = table_checks.missing_by_column(arrays)
    where = f" with missing or not finite values ({counts})" if counts else ""
    note = f"data.missing=drop: {lacking.sum()} of {len(lacking)} rows dropped{where}"
    return {name: array[~lacking] for name, array in arrays.items()}, [note]


def _leaks(config: TableData, found: list[str]) -> list[str]:
    """What is allowed to leak. Raises DataError where nothing is."""
    if config.leaks == "allow":
        return [f"data.leaks=allow: {'; '.join(found) or 'the condition was not found to leak x'}"]
    if found:
        raise DataError(
            f"{found[0]}, so that its density given the condition would be a spike. Leave one of them out, or keep "
            "both with --set data.leaks=allow"
        )
    return []


def _data(config: TableData, arrays: dict[str, np.ndarray]) -> tuple[np.ndarray, ArraySpec, list[Column]]:
    """x, its spec, and what was found out. Columns stay float64 here."""
    if any(array.ndim > 2 for array in arrays.values()):
        if len(arrays) > 1:
            raise DataError(f"--x: images stand alone, got {', '.join(arrays)}")
        ((name, array),) = arrays.items()
        images, spec = _image(name, array)
        return images, spec, [Column(name, "x", f"image {spec.shape}", float(images.min()), float(images.max()))]
    names, values = _flattened(arrays, "x")
    if unknown := [name for name in config.support if name not in names]:
        raise DataError(f"data.support.{unknown[0]}: not a column of --x; {nearest(unknown[0], names)}")
    table_checks.refuse_dependent(names, values)
    columns = [supported(name, values[:, index], config.support.get(name)) for index, name in enumerate(names)]
    return values, ArraySpec(shape=(len(names),), names=tuple(names)), columns


def _jittered(x: np.ndarray, columns: list[Column], config: TableData) -> tuple[np.ndarray, list[Column]]:
    """Columns with few distinct values on a grid get U(-g/2, g/2) for the grid's step g, within their support."""
    x, columns = x.copy(), list(columns)
    random = np.random.default_rng([config.seed, 0xD17])
    for index, column in enumerate(columns):
        step = grid(x[:, index])
        if step is None or not config.jitter:
            continue
        x[:, index] += step * (random.random(len(x)) - 0.5)
        if not _within(x[:, index], column):
            raise DataError(
                f"{column.name}: its values are {step:g} apart, and spreading them over the gaps leaves its support. "
                "Widen data.support, or --set data.jitter=false"
            )
        note = Note(
            f"few distinct values, {step:g} apart: spread by U(-{step / 2:g}, {step / 2:g}) over the gaps; "
            "to keep them as they are:",
            "--set data.jitter=false",
        )
        columns[index] = replace(column, kind="number on a grid", step=step, notes=(*column.notes, note))
    return x, columns


def _within(values: np.ndarray, column: Column) -> bool:
    above = column.lower is None or bool((values > column.lower).all())
    return above and (column.upper is None or bool((values < column.upper).all()))


def grid(values: np.ndarray) -> float | None:
    """The step of the grid that the values lie on, if each value comes up often; None for a continuous column.

    >>> grid(np.tile([1.0, 1.5, 3.0], 10)), grid(np.linspace(0, 1, 30))
    (0.5, None)
    """
    distinct = np.unique(values)
    if len(distinct) > len(values) / 4 or len(distinct) < 2:
        return None
    gaps = np.diff(distinct)
    step = float(gaps.min())
    return step if np.abs(gaps / step - np.round(gaps / step)).max() < 1e-3 else None


def _condition(
    config: TableData, arrays: dict[str, np.ndarray]
) -> tuple[np.ndarray | None, ConditionSpec, list[Column]]:
    kind = config.kind if config.kind != "auto" else _kind(arrays)
    if (kind == "none") != (not arrays):
        raise DataError(f"data.kind: {kind} does not go with --condition {', '.join(arrays) or '(empty)'}")
    if kind == "none":
        return None, NoCondition(), []
    if kind in ("label", "image") and len(arrays) > 1:
        raise DataError(f"--condition: one {kind} stands alone, got {', '.join(arrays)}")
    name, array = next(iter(arrays.items()))
    if kind == "label":
        return _label(name, array)
    if kind == "image":
        images, spec = _image(name, array)
        column = Column(name, "condition", f"image {spec.shape}", float(images.min()), float(images.max()))
        return images, ImageCondition(array=spec), [column]
    names, values = _flattened(arrays, "condition")
    columns = [
        Column(name, "condition", "number, standardised", float(column.min()), float(column.max()))
        for name, column in zip(names, values.T, strict=True)
    ]
    return values, VectorCondition(array=ArraySpec(shape=(len(names),), names=tuple(names))), columns


def _kind(arrays: dict[str, np.ndarray]) -> str:
    """Nothing, text or a few whole numbers (label), arrays with height and width (image), else a vector."""
    if not arrays:
        return "none"
    if len(arrays) > 1:
        return "vector"
    (array,) = arrays.values()
    if array.ndim > 2:
        return "image"
    if array.dtype == object:
        return "label"
    whole = array.dtype.kind in "iu" and array.ndim == 1
    return "label" if whole and len(np.unique(array)) <= min(LABEL_CLASSES, len(array) // 10) else "vector"


def _label(name: str, array: np.ndarray) -> tuple[np.ndarray, ConditionSpec, list[Column]]:
    if array.ndim != 1:
        raise DataError(f"{name}: a label is one value per row, got shape {array.shape}")
    values, index = np.unique(array.astype(str), return_inverse=True)
    if array.dtype != object:
        numbers = np.unique(array)
        values, index = numbers.astype(str), np.searchsorted(numbers, array)
    if len(values) < 2:
        raise DataError(f"{name} is constant ({values[0]}): a label needs two classes. Leave it out of --condition")
    if len(values) > 1000:
        raise DataError(f"{name}: {len(values)} different values are too many for a label")
    shown = ", ".join(values[:8]) + (", ..." if len(values) > 8 else "")
    note = Note(f"classes {shown}")
    if array.dtype != object:
        note = Note(f"classes {shown}; to take it as a number:", "--set data.kind=vector")
    column = Column(name, "condition", f"label of {len(values)} classes", notes=(note,))
    return index.astype(np.int64), LabelCondition(classes=tuple(str(value) for value in values)), [column]


def _flattened(arrays: dict[str, np.ndarray], role: Literal["x", "condition"]) -> tuple[list[str], np.ndarray]:
    """Columns (rows, n) in float64; an array of several columns gives its elements numbered names.

    Raises DataError for images, and for columns that are constant, or are so once the model has standardised them.
    """
    names: list[str] = []
    columns: list[np.ndarray] = []
    for name, array in arrays.items():
        if array.ndim > 2:
            raise DataError(f"{name}: an image stands alone, got shape {array.shape} beside other columns")
        names += [name] if array.ndim == 1 else [f"{name}[{index}]" for index in range(array.shape[1])]
        columns += list(array.reshape(len(array), -1).T)
    for name, column in zip(names, columns, strict=True):
        table_checks.refuse_constant(name, column, role)
        table_checks.refuse_unresolved(name, column)
    return names, np.stack(columns, axis=1).astype(np.float64)


def _image(name: str, array: np.ndarray) -> tuple[np.ndarray, ArraySpec]:
    """(rows, C, H, W); bytes stay whole numbers with as many levels as they need."""
    if array.ndim not in (3, 4):
        raise DataError(f"{name}: an image is rows x H x W or rows x C x H x W, got shape {array.shape}")
    images = array[:, None] if array.ndim == 3 else array
    if images.dtype == np.uint8:
        levels = max(int(images.max()) + 1, 2)
        return images, ArraySpec(shape=images.shape[1:], dtype="uint8", levels=levels)
    return images.astype(np.float32), ArraySpec(shape=images.shape[1:])
