"""Tables: what is detected, what is refused and why, and what can be set otherwise."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from flows.config import Support
from tests.training.conftest import tiny
from training.datasets import table
from training.datasets.base import Dataset
from training.datasets.table import TableData
from training.errors import DataError
from training.modelling import architecture
from training.recipe import changed, setting

ROWS = 400


@pytest.fixture
def columns() -> dict[str, Any]:
    random = np.random.default_rng(0)
    kind = random.choice(["red", "white", "rosé"], ROWS)
    dose = random.normal(size=ROWS)
    return {
        "alcohol": dose + random.normal(size=ROWS),
        "sugar": random.lognormal(size=ROWS),
        "share": random.beta(2, 2, ROWS),
        "count": random.poisson(4, ROWS),
        "dose": dose,
        "kind": kind,
        "grade": random.integers(3, 9, ROWS),
        "constant": np.full(ROWS, 3.0),
    }


def load(tmp_path: Path, columns: dict[str, Any], **config: Any) -> Dataset:
    path = tmp_path / "wine.csv"
    pl.DataFrame(columns).write_csv(path)
    return table.load(TableData(file=str(path), **config))


def test_numbers_given_numbers(tmp_path: Path, columns: dict[str, Any]) -> None:
    dataset = load(tmp_path, columns, x=("alcohol", "sugar"), condition=("dose", "share"))
    assert (dataset.data.names, dataset.condition.kind) == (("alcohol", "sugar"), "vector")
    assert len(dataset.train) == 320 and len(dataset.validation) == len(dataset.test) == 40
    assert dataset.train.x.dtype == np.float32 and dataset.train.condition is not None
    together = np.concatenate([split.x[:, 0] for split in (dataset.train, dataset.validation, dataset.test)])
    assert np.allclose(np.sort(together), np.sort(columns["alcohol"]), atol=1e-6)


@pytest.mark.parametrize(
    ("condition", "kind", "override"),
    [
        ((), "none", "auto"),
        (("kind",), "label", "auto"),
        (("grade",), "label", "auto"),
        (("grade",), "vector", "vector"),
        (("dose",), "vector", "auto"),
        (("count", "grade"), "vector", "auto"),
    ],
)
def test_kinds_of_condition(
    tmp_path: Path, columns: dict[str, Any], condition: tuple[str, ...], kind: str, override: str
) -> None:
    dataset = load(tmp_path, columns, x=("alcohol",), condition=condition, kind=override)
    assert dataset.condition.kind == kind


def test_labels_keep_their_names_and_order(tmp_path: Path, columns: dict[str, Any]) -> None:
    dataset = load(tmp_path, columns, x=("alcohol",), condition=("kind",))
    assert dataset.condition.model_dump()["classes"] == ("red", "rosé", "white")
    columns["grade"] = np.arange(ROWS) % 4 + 8
    dataset = load(tmp_path, columns, x=("alcohol",), condition=("grade",))
    assert dataset.condition.model_dump()["classes"] == ("8", "9", "10", "11")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"x": ("alcool",)}, "no column or array 'alcool'; did you mean 'alcohol'"),
        ({"x": ("alcohol",), "condition": ("alcohol",)}, "named in both --x and --condition"),
        ({"x": ("constant", "sugar")}, r"constant is constant \(3\): it has no density"),
        ({"x": ("sugar",), "condition": ("constant", "dose")}, "constant is constant .* it tells nothing about x"),
        ({"x": ("kind",)}, "kind: x needs numbers, this column holds text"),
        ({"x": ("sugar",), "condition": ("kind", "dose")}, "kind: holds text; a label stands alone"),
        ({"x": ("sugar",), "condition": ("kind", "grade"), "kind": "label"}, "one label stands alone"),
        ({"x": ("sugar",), "kind": "label"}, "label does not go with --condition"),
        ({"x": ("sugar",), "support": {"suger": "positive"}}, "data.support.suger: .* did you mean 'sugar'"),
        ({"x": ("alcohol",), "support": {"alcohol": "positive"}}, "data.support.alcohol: its values reach from"),
    ],
)
def test_what_is_unfit_is_said(tmp_path: Path, columns: dict[str, Any], config: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(tmp_path, columns, **config)


@pytest.mark.parametrize(
    ("name", "leak"),
    [
        ("a copy", lambda c: c["alcohol"]),
        ("a rescaled copy", lambda c: 5 - 3 * c["alcohol"]),
        ("a nearly exact copy", lambda c: c["alcohol"] + 1e-4 * np.random.default_rng(1).normal(size=ROWS)),
        ("a monotone function", lambda c: np.exp(c["alcohol"])),
        ("a cube", lambda c: c["alcohol"] ** 3),
    ],
)
def test_a_condition_that_leaks_x(tmp_path: Path, columns: dict[str, Any], name: str, leak: Any) -> None:
    columns["leak"] = leak(columns)
    with pytest.raises(DataError, match="the condition leak leaks x: alcohol is a copy or a function of it"):
        load(tmp_path, columns, x=("sugar", "alcohol"), condition=("dose", "leak"))
    assert (
        load(tmp_path, columns, x=("sugar", "alcohol"), condition=("leak",), leaks="allow").condition.kind == "vector"
    )


def test_x_that_is_a_function_of_the_whole_condition_leaks(tmp_path: Path, columns: dict[str, Any]) -> None:
    columns["sum"] = columns["alcohol"] - columns["dose"]
    with pytest.raises(DataError, match="the condition dose, sum leaks x"):
        load(tmp_path, columns, x=("alcohol",), condition=("dose", "sum"))


@pytest.mark.parametrize("noise", [0.05, 0.3])
def test_a_strong_but_noisy_condition_is_no_leak(tmp_path: Path, columns: dict[str, Any], noise: float) -> None:
    columns["near"] = columns["alcohol"] + noise * np.random.default_rng(1).normal(size=ROWS)
    assert load(tmp_path, columns, x=("alcohol",), condition=("near",)).condition.kind == "vector"


def test_a_leak_that_is_allowed_is_told(tmp_path: Path, columns: dict[str, Any]) -> None:
    columns["leak"] = columns["alcohol"] * 2
    config: dict[str, Any] = {"x": ("sugar", "alcohol"), "leaks": "allow"}
    (note,) = load(tmp_path, columns, **config, condition=("dose", "leak")).notes
    assert note == "data.leaks=allow: the condition leak leaks x: alcohol is a copy or a function of it"
    (note,) = load(tmp_path, columns, **config, condition=("dose",)).notes
    assert note == "data.leaks=allow: the condition was not found to leak x"


def test_the_suggested_support_is_a_setting_whatever_the_name(tmp_path: Path, columns: dict[str, Any]) -> None:
    names = ("residual sugar", "Sepal.Length", "it's a=b: {c}", "[x]", " x ")
    columns = {name: np.random.default_rng(row).lognormal(size=ROWS) for row, name in enumerate(names)}
    for column in load(tmp_path, columns, x=names).columns:
        option, text = shlex.split(column.notes[0].setting)
        assert option == "--set"
        content = changed({"data": {"file": "a.csv", "x": [column.name]}}, dict([setting(text)]))
        assert TableData(**content["data"]).support == {column.name: "positive"}


def test_columns_of_x_that_determine_each_other(tmp_path: Path, columns: dict[str, Any]) -> None:
    columns["total"] = columns["alcohol"] + 2 * columns["sugar"]
    with pytest.raises(DataError, match="is a linear function of the other columns of --x"):
        load(tmp_path, columns, x=("alcohol", "sugar", "total"))


def test_missing_values_are_counted_or_dropped(tmp_path: Path, columns: dict[str, Any]) -> None:
    columns["alcohol"] = [None if row % 40 == 0 else value for row, value in enumerate(columns["alcohol"])]
    columns["kind"] = [None if row % 100 == 1 else value for row, value in enumerate(columns["kind"])]
    with pytest.raises(DataError, match=r"of 400 rows\): alcohol 10, kind 4"):
        load(tmp_path, columns, x=("alcohol",), condition=("kind",))
    dataset = load(tmp_path, columns, x=("alcohol",), condition=("kind",), missing="drop")
    assert len(dataset.train) + len(dataset.validation) + len(dataset.test) == 386
    told = "data.missing=drop: 14 of 400 rows dropped with missing or not finite values (alcohol 10, kind 4)"
    assert dataset.notes == (told,)


def test_values_that_are_not_finite_are_missing(tmp_path: Path, columns: dict[str, Any]) -> None:
    columns["sugar"][7] = np.inf
    with pytest.raises(DataError, match="sugar 1"):
        load(tmp_path, columns, x=("sugar",))


def test_too_few_rows(tmp_path: Path, columns: dict[str, Any]) -> None:
    short = {name: values[:49] for name, values in columns.items()}
    with pytest.raises(DataError, match="49 rows are too few"):
        load(tmp_path, short, x=("alcohol",))


def test_columns_on_a_grid_are_spread(tmp_path: Path, columns: dict[str, Any]) -> None:
    columns["tenth"] = np.round(columns["alcohol"], 0) / 10
    dataset = load(tmp_path, columns, x=("count", "tenth", "sugar"))
    count, tenth, sugar = dataset.columns
    assert dataset.spread == ("count", "tenth")
    assert (count.kind, tenth.kind, sugar.kind) == ("number on a grid", "number on a grid", "number")
    assert "U(-0.5, 0.5)" in count.notes[-1].text and "U(-0.05, 0.05)" in tenth.notes[-1].text
    values = np.concatenate([split.x[:, 0] for split in (dataset.train, dataset.validation, dataset.test)])
    assert len(np.unique(values)) == ROWS
    assert np.array_equal(np.sort(np.round(values)), np.sort(columns["count"]))
    same = load(tmp_path, columns, x=("count", "tenth", "sugar"))
    assert same.digest == dataset.digest
    plain = load(tmp_path, columns, x=("count", "sugar"), jitter=False)
    assert set(np.unique(plain.train.x[:, 0])) <= set(columns["count"].astype(float))


def test_support_is_suggested_and_applied(tmp_path: Path, columns: dict[str, Any]) -> None:
    names = ("alcohol", "sugar", "share")
    settings = [note.setting for column in load(tmp_path, columns, x=names).columns for note in column.notes]
    assert settings == ["--set data.support.sugar=positive", "--set 'data.support.share=[0,1]'"]
    dataset = load(tmp_path, columns, x=names, support={"sugar": "positive", "share": (0, 1)})
    steps = architecture(tiny(model={"family": "coupling"}), dataset).preprocessing  # type: ignore[union-attr]
    assert steps is not None and isinstance(steps[0], Support)
    assert (steps[0].lower, steps[0].upper) == ((None, 0, 0), (None, None, 1))
    assert steps[1].kind == "standardize"


def test_parquet_and_npz_say_the_same_as_csv(tmp_path: Path, columns: dict[str, Any]) -> None:
    names: dict[str, Any] = {"x": ("alcohol", "count"), "condition": ("kind",)}
    from_csv = load(tmp_path, columns, **names)
    pl.DataFrame(columns).write_parquet(tmp_path / "wine.parquet")
    np.savez(tmp_path / "wine.npz", **columns)
    for suffix in ("parquet", "npz"):
        other = table.load(TableData(file=str(tmp_path / f"wine.{suffix}"), **names))
        assert other.digest == from_csv.digest


def test_arrays_of_columns_and_images(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    path = tmp_path / "arrays.npz"
    arrays = {
        "theta": random.normal(size=(ROWS, 3)),
        "picture": random.integers(0, 17, (ROWS, 5, 4)).astype(np.uint8),
        "field": random.normal(size=(ROWS, 2, 5, 4)),
        "short": random.normal(size=ROWS - 1),
        "scalar": np.float64(3),
    }
    np.savez(path, **arrays)
    dataset = table.load(TableData(file=str(path), x=("theta",), condition=("picture",)))
    assert dataset.data.names == ("theta[0]", "theta[1]", "theta[2]")
    assert dataset.condition.model_dump()["array"]["shape"] == (1, 5, 4)
    assert dataset.train.condition is not None and dataset.train.condition.dtype == np.uint8
    dataset = table.load(TableData(file=str(path), x=("picture",), condition=("theta",)))
    assert (dataset.data.shape, dataset.data.levels, dataset.condition.kind) == ((1, 5, 4), 17, "vector")
    dataset = table.load(TableData(file=str(path), x=("field",)))
    assert (dataset.data.shape, dataset.data.dtype) == ((2, 5, 4), "float32")
    for config, message in (
        ({"x": ("theta", "picture")}, "images stand alone"),
        ({"x": ("theta",), "condition": ("short",)}, "the same number of rows"),
        ({"x": ("scalar",)}, "expected rows first"),
        ({"x": ("theta",), "condition": ("picture", "field")}, "an image stands alone"),
    ):
        with pytest.raises(DataError, match=message):
            table.load(TableData(file=str(path), **config))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", None, "does not exist"),
        ("t.txt", b"a\n1\n", "expected .csv, .parquet or .npz"),
        ("t.parquet", b"no parquet", "could not be read"),
        ("t.npz", b"no zip", "could not be read"),
        ("t.csv", b"", "could not be read"),
        ("t.csv", b"a;b;g\n1;2;3\n", "the separator seems to be ';'"),
        ("t.csv", b"a;b;g\n1,5;2,5;3,5\n", "the separator seems to be ';'"),
        ("t.csv", b"a\tb\n1\t2\n", "the separator seems to be a tab"),
        ("t.csv", b"one\n1\n", "no column or array 'a'; known: one"),
        ("t.csv", b"a;b,c\n1,2\n", "no column or array 'a'"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        table.load(TableData(file=str(tmp_path / name), x=("a",)))


def test_pickled_arrays_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", a=np.array([{}] * 100, dtype=object))
    with pytest.raises(DataError, match="could not be read"):
        table.load(TableData(file=str(tmp_path / "t.npz"), x=("a",)))


def test_a_value_that_many_rows_share_is_said_to_be_no_density(tmp_path: Path, columns: dict[str, Any]) -> None:
    dry = np.arange(ROWS) % 10 < 3
    columns["rain"] = np.where(dry, 0.0, columns["sugar"])
    capped = np.minimum(columns["alcohol"], np.sort(columns["alcohol"])[-40])
    columns["alcohol"] = capped
    dataset = load(tmp_path, columns, x=("rain", "alcohol", "share", "count"), condition=("dose",))
    (rain, alcohol) = dataset.notes
    assert rain.startswith("rain: 30% of the values are exactly 0, which is a mass and no density.")
    assert alcohol.startswith(f"alcohol: 10% of the values are exactly {capped.max():g}, ")
    (bare,) = load(tmp_path, columns, x=("share", "count"), jitter=False).notes
    assert bare.startswith("count: ")
