"""Files of cells: a header is taken at its word, and what cannot be read is named by its row."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.datasets import table_reading
from training.errors import DataError


def write(folder: Path, content: bytes) -> Path:
    path = folder / "cells.csv"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a,b,a,c\n1,2,3,4\n", "the header has 'a' 2 times, expected each name once"),
        (b"c,a\n1,2\n3,4\n\n5,6,7\n", r"row 3 has 3 cells, expected 2 as in the header"),
        ("c,a\n1,2\n".encode("utf-16"), r"UTF-16, as it seems\); expected a \.csv in UTF-8"),
        ("c,a\n1,2\n".encode("utf-16-le"), r"UTF-16, as it seems\); expected a \.csv in UTF-8"),
        ("c,é\n1,2\n".encode("latin-1"), r"this is no UTF-8 text .*; expected a \.csv in UTF-8"),
        (b"\n\n", r"could not be read \(it is empty\)"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        table_reading.read(write(tmp_path, content), ("c",))


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ('"c""q",b', 'c"q'),
        ("\ufeffa,b", "a"),
        ('"a\nx",b', "a\nx"),
        ("\n a ,b", " a "),
        ("a,,", "a"),
        ('"a,b",c', "a,b"),
    ],
)
def test_names_are_those_that_were_written(tmp_path: Path, header: str, name: str) -> None:
    cells = ",".join(["3"] * (header.count(",") + 1 - (name == "a,b")))
    path = write(tmp_path, f"{header}\n{cells}\n".encode())
    assert table_reading.read(path, (name,))[name].tolist() == [3]


def test_integers_of_any_length_are_numbers(tmp_path: Path) -> None:
    path = write(tmp_path, b"a\n1\n10000000000000000000000000\n")
    assert table_reading.read(path, ("a",))["a"].tolist() == [1.0, 1e25]


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "x.csv").mkdir()
    with pytest.raises(DataError, match=r"data.file: .*x.csv is no file"):
        table_reading.read(tmp_path / "x.csv", ("a",))
