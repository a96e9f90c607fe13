"""Named arrays out of a file: columns of .csv and .parquet, arrays of .npz with the rows first."""

from __future__ import annotations

from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from training.datasets import csv_reading
from training.errors import DataError, first_line, nearest


def read(path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The arrays of those names: numbers as they are, text and booleans as text, None where a value is missing.

    Raises DataError for a file that cannot be read, an unknown name (with the nearest), or unequal numbers of rows.
    """
    if not path.is_file():
        raise DataError(f"data.file: {path} {'is no file' if path.exists() else 'does not exist'}")
    match path.suffix.lower():
        case ".csv" | ".parquet":
            arrays = _columns(path, names)
        case ".npz":
            arrays = _arrays(path, names)
        case other:
            raise DataError(f"data.file: expected .csv, .parquet or .npz, got {other or 'no suffix'}")
    rows = {name: len(array) for name, array in arrays.items()}
    if len(set(rows.values())) > 1:
        raise DataError(f"{path}: all arrays need the same number of rows, got {rows}")
    return arrays


def _columns(path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    import polars as pl

    try:
        columns = csv_reading.read(path, names) if path.suffix.lower() == ".csv" else pl.read_parquet(path).to_dict()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{path}: could not be read ({first_line(error)})") from error
    _known(path, names, list(columns))
    arrays = {}
    for name in names:
        column = columns[name]
        if column.dtype.is_integer() and column.dtype != pl.Int128 and column.null_count() == 0:
            arrays[name] = column.to_numpy()
        elif column.dtype.is_numeric():
            arrays[name] = column.cast(pl.Float64).to_numpy()
        elif column.dtype in (pl.String, pl.Boolean, pl.Categorical, pl.Enum):
            arrays[name] = np.array(column.cast(pl.String).to_list(), dtype=object)
        else:
            raise DataError(f"{path}: {name}: expected numbers or text, got {column.dtype}")
    return arrays


def _arrays(path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            _known(path, names, list(archive.files))
            arrays = {name: archive[name] for name in names}
    except (OSError, ValueError, BadZipFile) as error:
        raise DataError(f"{path}: could not be read ({error})") from error
    for name, array in arrays.items():
        if array.ndim == 0:
            raise DataError(f"{path}: {name}: expected rows first, got a single value")
        if array.dtype.kind in "bUS":
            arrays[name] = array.astype(str).astype(object)
        elif array.dtype.kind not in "iuf":
            raise DataError(f"{path}: {name}: expected numbers or text, got {array.dtype}")
    return arrays


def _known(path: Path, names: tuple[str, ...], present: list[str]) -> None:
    for name in names:
        if name not in present:
            raise DataError(f"{path}: there is no column or array {name!r}; {nearest(name, present)}")
