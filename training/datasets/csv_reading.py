"""Columns of a .csv by the names of its header: UTF-8, commas, one line of names, as many cells in every row."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from training.errors import DataError, first_line

if TYPE_CHECKING:
    import polars as pl

MISSING = ["", "NA", "N/A", "NaN", "nan", "null", "None"]
SEPARATORS = {";": "';'", "\t": "a tab", "|": "'|'"}
UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_LOOKED_AT = 1 << 16


def read(path: Path, names: tuple[str, ...]) -> dict[str, pl.Series]:
    """Every column, `names` among them. Raises DataError for another encoding or separator, names that repeat, and
    rows with too many cells."""
    import polars as pl

    header = _header(path)
    if len(header) == 1 and header[0] not in names:
        _refuse_separator(path, header[0])
    try:
        frame = pl.read_csv(path, infer_schema_length=None, null_values=MISSING)
    except pl.exceptions.PolarsError as error:
        _refuse_ragged(path, header)
        raise DataError(f"{path}: could not be read ({first_line(error)})") from error
    if len(header) != frame.width:
        raise DataError(f"{path}: the header has {len(header)} names, the rows have {frame.width} cells")
    return dict(zip(header, frame.get_columns(), strict=True))


def _header(path: Path) -> list[str]:
    """The names in the first line that is not empty."""
    with path.open("rb") as file:
        start = file.read(_LOOKED_AT)
    if start.startswith(UTF_16) or b"\0" in start:
        raise DataError(f"{path}: this is no UTF-8 text (UTF-16, as it seems); expected a .csv in UTF-8: save it so")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = next((row for row in csv.reader(file) if row), [])
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: this is no UTF-8 text ({error.reason}); expected a .csv in UTF-8: save it so"
        ) from None
    except csv.Error as error:
        raise DataError(f"{path}: could not be read ({error})") from None
    if not header:
        raise DataError(f"{path}: could not be read (it is empty)")
    if repeated := [name for name, count in Counter(header).items() if count > 1 and name]:
        raise DataError(
            f"{path}: the header has {repeated[0]!r} {header.count(repeated[0])} times, expected each name once"
        )
    return header


def _refuse_separator(path: Path, line: str) -> None:
    """Raises DataError if another sign than the comma stands between the names."""
    separator = max(SEPARATORS, key=line.count)
    if separator in line:
        raise DataError(
            f"{path}: the separator seems to be {SEPARATORS[separator]}. Expected commas between the columns "
            "(and points in decimal numbers): save it so"
        )


def _refuse_ragged(path: Path, header: list[str]) -> None:
    """Raises DataError that names the first row with more cells than the header has; the rows are counted from 1."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        rows = (row for row in csv.reader(file) if row)
        for number, row in enumerate(rows):
            if len(row) > len(header):
                raise DataError(
                    f"{path}: row {number} has {len(row)} cells, expected {len(header)} as in the header (a cell with "
                    "a comma stands in double quotes)"
                )
