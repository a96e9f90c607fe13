"""Values that a model in float32 cannot learn from, classes without rows, and text where numbers are needed."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.training.conftest import tiny
from training.datasets import table
from training.datasets.base import Dataset, split_rows
from training.datasets.table import TableData
from training.errors import DataError, RecipeError
from training.modelling import architecture
from training.recipe import check, recorded

ROWS = 400
NORMAL: np.ndarray = np.random.default_rng(0).normal(size=ROWS)
OTHER: np.ndarray = np.random.default_rng(1).normal(size=ROWS)


def load(tmp_path: Path, columns: dict[str, Any], **config: Any) -> Dataset:
    path = tmp_path / "values.csv"
    pl.DataFrame(columns).write_csv(path)
    return table.load(TableData(file=str(path), **config))


def with_value(value: float) -> np.ndarray:
    """The value in row 4."""
    return np.where(np.arange(ROWS) == 3, value, NORMAL)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (1e9 + NORMAL, r"a: values near 1e\+09 differ by less than float32 can tell .* Subtract an offset"),
        (2**60 + np.arange(ROWS), r"a: values near 1.15292e\+18 differ by less .* \(standard deviation 115.47\)"),
        (1e-40 * NORMAL, r"a: values from .*e-40 to .*e-40 are too close together for float32 .* Multiply"),
        (1e-10 * NORMAL, r"a: values from .*e-10 to .*e-10 are too close together for float32"),
        (with_value(1e12), r"a: 1e\+12 is so far from the other values that float32 cannot tell those apart"),
        (with_value(1e300), r"a: row 4 holds 1e\+300, beyond float32"),
        (with_value(-1e30), r"a: row 4 holds -1e\+30, beyond float32"),
    ],
)
@pytest.mark.parametrize("role", ["x", "condition"])
def test_what_float32_cannot_tell_apart_is_refused(tmp_path: Path, column: np.ndarray, message: str, role: str) -> None:
    others = {"x": "condition", "condition": "x"}
    with warnings.catch_warnings(), pytest.raises(DataError, match=message):
        warnings.simplefilter("error")
        load(tmp_path, {"a": column, "b": OTHER}, **{role: ("a",), others[role]: ("b",)})


@pytest.mark.parametrize(
    "column",
    [1.7e9 + 1e7 * NORMAL, 1e-6 * NORMAL, np.exp(5 * NORMAL), with_value(1e4), 2020 + np.arange(ROWS) % 9],
    ids=["a year of seconds", "micro", "long tail", "outlier", "years"],
)
def test_what_float32_can_tell_apart_is_taken(tmp_path: Path, column: np.ndarray) -> None:
    assert load(tmp_path, {"a": column}, x=("a",)).data.names == ("a",)


def test_the_row_of_a_huge_value_is_that_of_the_file_though_others_are_dropped(tmp_path: Path) -> None:
    column = [None, *with_value(1e30)[1:]]
    with pytest.raises(DataError, match="a: row 4 holds"):
        load(tmp_path, {"a": column}, x=("a",), missing="drop")


def test_a_sum_of_columns_of_x_leaks_them(tmp_path: Path) -> None:
    columns = {"a": NORMAL, "b": OTHER, "c": NORMAL - 2 * OTHER}
    with pytest.raises(DataError, match="the condition c leaks x: a is a linear function of it and the other columns"):
        load(tmp_path, columns, x=("a", "b"), condition=("c",))
    (note,) = load(tmp_path, columns, x=("a", "b"), condition=("c",), leaks="allow").notes
    assert note.startswith("data.leaks=allow: the condition c leaks x: a is a linear function")
    columns["c"] = columns["c"] + 0.01 * np.random.default_rng(2).normal(size=ROWS)
    assert not load(tmp_path, columns, x=("a", "b"), condition=("c",)).notes


def test_more_columns_than_rows_are_no_leak(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    columns = {f"{role}{index}": random.normal(size=60) for role in "xc" for index in range(35)}
    names = {role: tuple(name for name in columns if name[0] == role) for role in "xc"}
    assert load(tmp_path, columns, x=names["x"], condition=names["c"]).data.shape == (35,)


def test_a_class_without_training_rows_is_refused(tmp_path: Path) -> None:
    held = int(split_rows(ROWS, 0.1, 0.1, seed=0)[1][0])
    rare = ["rare" if row == held else "rest" if row % 2 else "most" for row in range(ROWS)]
    with pytest.raises(DataError, match="kind: class 'rare' has no training row: nothing can be learned of it"):
        load(tmp_path, {"a": NORMAL, "kind": rare}, x=("a",), condition=("kind",))
    own = [f"c{row}" for row in range(ROWS)]
    with pytest.raises(DataError, match=r"kind: class 'c\d+' has no training row, and \d+ more of 400 have none"):
        load(tmp_path, {"a": NORMAL, "kind": own}, x=("a",), condition=("kind",))


def test_classes_with_few_training_rows_are_told(tmp_path: Path) -> None:
    kind = ["rare" if row < 6 else "rest" if row % 2 else "most" for row in range(ROWS)]
    dataset = load(tmp_path, {"a": NORMAL, "kind": kind}, x=("a",), condition=("kind",))
    assert dataset.train.condition is not None
    count = int((dataset.train.condition == 1).sum())
    assert dataset.notes[0].startswith(f"kind: classes with fewer than 10 training rows (rare {count}): ")


def test_a_text_among_numbers_is_named_by_its_row(tmp_path: Path) -> None:
    cells = [None, *(f"{value:.6f}" for value in NORMAL[1:])]
    cells[16] = "abc"
    columns = {"a": cells, "b": OTHER, "c": OTHER**2}
    for config, message in (
        ({"x": ("a",)}, r"a: x needs numbers, this column holds text; .* \(row 17: 'abc'\)"),
        ({"x": ("b",), "condition": ("a", "c")}, r"a: holds text; a label stands alone .* \(row 17: 'abc'\)"),
        ({"x": ("b",), "condition": ("a",)}, r"a: text among numbers; .*--set data.kind=label \(row 17: 'abc'\)"),
    ):
        with pytest.raises(DataError, match=message):
            load(tmp_path, columns, missing="drop", **config)


@pytest.mark.parametrize("option", ["x", "condition"])
def test_a_column_that_is_named_twice_is_refused(tmp_path: Path, option: str) -> None:
    config: dict[str, Any] = {"x": ("b",), option: ("a", "a")}
    with pytest.raises(DataError, match=f"a: named 2 times in --{option}, expected once"):
        load(tmp_path, {"a": NORMAL, "b": OTHER}, **config)


def content(support: Any) -> dict[str, Any]:
    return {
        "name": "own",
        "data": {"set": "table", "file": "a.csv", "x": ["a"], "support": {"a": support}},
        "model": {"family": "coupling"},
    }


@pytest.mark.parametrize(
    "support", [[1, 0], [1, 1], [float("nan"), 1], [float("inf"), 5], [1], "negative", "ab", 3, [0, "x"], {"low": 0}]
)
def test_a_support_that_is_no_interval_is_refused(support: Any) -> None:
    with pytest.raises(
        RecipeError, match=r"^data.support.a: expected real, positive or \[low, high\] with low < high.*$"
    ):
        check(content(support))


@pytest.mark.parametrize(
    ("support", "bounds"),
    [([-100, float("inf")], (-100.0, None)), ([None, "1e3"], (None, 1000.0)), ([0, 1], (0.0, 1.0))],
)
def test_an_infinite_end_leaves_a_side_open(tmp_path: Path, support: Any, bounds: tuple[float | None, ...]) -> None:
    recipe = check(content(support))
    assert check(recorded(recipe)) == recipe
    column = 0.5 + 0.01 * NORMAL
    dataset = load(tmp_path, {"a": column}, x=("a",), support={"a": support})
    steps = architecture(tiny(model={"family": "coupling"}), dataset).preprocessing  # type: ignore[union-attr]
    assert steps is not None and (steps[0].lower, steps[0].upper) == ((bounds[0],), (bounds[1],))  # type: ignore[union-attr]
