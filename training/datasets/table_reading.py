"""Named arrays out of a file: columns of .csv and .parquet, arrays of .npz with the rows first."""

from __future__ import annotations

from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from training.errors import DataError, nearest

MISSING = ["", "NA", "N/A", "NaN", "nan", "null", "None"]
SEPARATORS = {";": "';'", "\t": "a tab", "|": "'|'"}


def read(path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The arrays of those names: numbers as they are, text and booleans as text, None where a value is missing.

    Raises DataError for a file that cannot be read, an unknown name (with the nearest), or unequal numbers of rows.
    """
    if not path.is_file():
        raise DataError(f"data.file: {path} does not exist")
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
        if path.suffix.lower() == ".csv":
            frame = pl.read_csv(path, infer_schema_length=None, null_values=MISSING)
        else:
            frame = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        if path.suffix.lower() == ".csv":
            _refuse_separator(path)
        raise DataError(f"{path}: could not be read ({str(error).splitlines()[0]})") from error
    if path.suffix.lower() == ".csv" and len(frame.columns) == 1 and frame.columns[0] not in names:
        _refuse_separator(path)
    _known(path, names, frame.columns)
    arrays = {}
    for name in names:
        column = frame[name]
        if column.dtype.is_integer() and column.null_count() == 0:
            arrays[name] = column.to_numpy()
        elif column.dtype.is_numeric():
            arrays[name] = column.cast(pl.Float64).to_numpy()
        elif column.dtype in (pl.String, pl.Boolean, pl.Categorical, pl.Enum):
            arrays[name] = np.array(column.cast(pl.String).to_list(), dtype=object)
        else:
            raise DataError(f"{path}: {name}: expected numbers or text, got {column.dtype}")
    return arrays


def _refuse_separator(path: Path) -> None:
    """Raises DataError if the header has no comma, but another sign that stands between columns."""
    with path.open(encoding="utf-8", errors="replace") as file:
        header = file.readline(10**6)
    separator = max(SEPARATORS, key=header.count)
    if "," not in header and separator in header:
        raise DataError(
            f"{path}: the separator seems to be {SEPARATORS[separator]}. Expected commas between the columns "
            "(and points in decimal numbers): save it so"
        )


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
