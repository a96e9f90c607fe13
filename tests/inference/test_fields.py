"""What callers may send as numbers, and how each mistake is named."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference import fields
from inference.errors import FieldError
from model_store.signature import ArraySpec

REALS = ArraySpec(shape=(2,))
IMAGE = ArraySpec(shape=(1, 2, 2), dtype="uint8", levels=16)


@pytest.mark.parametrize(
    ("value", "shape"),
    [
        ([1, 2.5], (1, 2)),
        ([[1, 2.5]], (1, 2)),
        ([[1, 2], [3, 4], [5, 6]], (3, 2)),
        (np.array([1, 2], dtype=np.int16), (1, 2)),
        (np.zeros((3, 2), dtype=np.float16), (3, 2)),
        (np.zeros((3, 2), dtype=">f8"), (3, 2)),
        (((1.0, 2.0), (3.0, 4.0)), (2, 2)),
    ],
)
def test_rows_of_reals(value: object, shape: tuple[int, ...]) -> None:
    rows = fields.rows(value, REALS)
    assert rows.shape == shape
    assert rows.dtype == np.float32
    assert rows.flags.c_contiguous and rows.dtype.isnative
    np.testing.assert_allclose(rows, np.array(value, dtype=np.float64).reshape(shape))


BAD_REALS = [
    (None, "/x", "null"),
    (3.0, "/x", "expected rows"),
    ("1,2", "/x", "a string"),
    ({"a": 1}, "/x", "an object"),
    ([], "/x", "expected 2 values (2 numbers per row), got 0"),
    ([[]], "/x/0", "expected 2 values (2 numbers per row), got 0"),
    (np.zeros((0, 2)), "/x", "none"),
    ([1, 2, 3], "/x", "expected 2 values (2 numbers per row), got 3 values"),
    ([[1, 2], [3]], "/x/1", "expected 2 values (2 numbers per row), got 1 value"),
    ([[1, 2], 3], "/x/1", "expected 2 values"),
    ([[1, 2], [3, [4]]], "/x/1/1", "a list"),
    ([[[1, 2]]], "/x", "expected rows"),
    ([[[[[[[1]]]]]]], "/x", "nested deeper"),
    ([[1, 2], [True, 4]], "/x/1/0", "a boolean"),
    ([[1, 2], [3, "4"]], "/x/1/1", "a string"),
    ([[1, None]], "/x/0/1", "null"),
    ([[1, float("nan")]], "/x/0/1", "finite"),
    ([[1, float("-inf")]], "/x/0/1", "finite"),
    ([[1e39, 0]], "/x/0/0", "(float32), got "),
    ([[0, -(10**400)]], "/x/0/1", "(float32), got "),
    (np.array([[0.0, np.inf]]), "/x/0/1", "finite"),
    (np.array([[0.0, 1e300]]), "/x/0/1", "(float32), got "),
    (np.array([[True, False]]), "/x", "bool"),
    (np.array([["1", "2"]]), "/x", "expected numbers"),
    (np.array([[1j, 2]]), "/x", "complex"),
    (np.array([[1, None]]), "/x", "object"),
    (np.zeros((2, 3)), "/x", "expected shape [2, 2] (2 numbers per row), got [2, 3]"),
    (np.zeros(()), "/x", "expected rows"),
    (np.zeros((3, 0)), "/x", "expected shape"),
]


@pytest.mark.parametrize(("value", "pointer", "message"), BAD_REALS)
def test_bad_reals(value: object, pointer: str, message: str) -> None:
    with pytest.raises(FieldError) as error:
        fields.rows(value, REALS)
    assert error.value.pointer == pointer
    assert message in error.value.message
    assert str(error.value) == f"{pointer}: {error.value.message}"


ALCOHOL = ArraySpec(shape=(1,), names=("alcohol",))
WINE = ArraySpec(shape=(9,), names=tuple("abcdefghi"))


@pytest.mark.parametrize(
    ("spec", "value", "message"),
    [
        (
            ALCOHOL,
            [0.5] * 40,
            "expected rows [n, 1] or one row [1] (1 number per row: alcohol), got shape [40]; 40",
        ),
        (ALCOHOL, np.zeros(40), "40 rows of one number each are written [[1.5], [2.5], ...]"),
        (ALCOHOL, [[0.5, 0.6]], "expected 1 value (1 number per row: alcohol), got 2 values"),
        (WINE, np.zeros((2, 8)), "expected shape [2, 9] (9 numbers per row: a, b, c, d, e, f, g, h, ...), got [2, 8]"),
    ],
)
def test_messages_name_what_a_row_holds(spec: ArraySpec, value: object, message: str) -> None:
    with pytest.raises(FieldError) as error:
        fields.rows(value, spec)
    assert message in error.value.message


def test_rows_of_integers() -> None:
    for value in ([[[0, 15], [3, 4.0]]], np.array([[[[0, 15], [3, 4]]]], dtype=np.uint8)):
        rows = fields.rows(value, IMAGE)
        assert rows.dtype == np.uint8
        np.testing.assert_array_equal(rows, [[[[0, 15], [3, 4]]]])


@pytest.mark.parametrize(
    ("value", "pointer"),
    [
        ([[[0, 16], [0, 0]]], "/x/0/0/1"),
        ([[[0, 0], [-1, 0]]], "/x/0/1/0"),
        ([[[0, 0.5], [0, 0]]], "/x/0/0/1"),
        ([[[0, float("nan")], [0, 0]]], "/x/0/0/1"),
        ([[[0, True], [0, 0]]], "/x/0/0/1"),
        ([[[0, 10**30], [0, 0]]], "/x/0/0/1"),
        (np.full((1, 1, 2, 2), 255, dtype=np.uint8), "/x/0/0/0/0"),
        (np.full((1, 1, 2, 2), 0.25), "/x/0/0/0/0"),
        ([[0, 1], [2, 3]], "/x"),
    ],
)
def test_bad_integers(value: object, pointer: str) -> None:
    with pytest.raises(FieldError) as error:
        fields.rows(value, IMAGE)
    assert error.value.pointer == pointer


def test_limits_come_before_allocation() -> None:
    huge = np.broadcast_to(np.float64(0), (10**12, 2))  # no memory behind it
    with pytest.raises(FieldError, match="at most 1000 rows, got 1000000000000"):
        fields.rows(huge, REALS, max_rows=1000)
    with pytest.raises(FieldError, match="expected rows"):
        fields.rows(np.broadcast_to(np.float64(0), (10**6, 10**6, 10**6)), REALS)


@pytest.mark.parametrize("seed", [0, 1, 2**53 - 1, np.int64(5)])
def test_seeds(seed: object) -> None:
    assert fields.seed(seed) == seed
    assert type(fields.seed(seed)) is int


@pytest.mark.parametrize("seed", [-1, 2**53, 1.0, True, "1", None, np.bool_(True), [1], 10**400])
def test_bad_seeds(seed: object) -> None:
    with pytest.raises(FieldError, match=r"^/seed: expected an integer 0\.\.9007199254740991"):
        fields.seed(seed)


@pytest.mark.parametrize("value", [-0.5, float("nan"), float("inf"), True, "1", None, 1e39, 10**400])
def test_bad_temperatures(value: object) -> None:
    with pytest.raises(FieldError) as error:
        fields.real(value, "/temperature")
    assert error.value.pointer == "/temperature"


@pytest.mark.parametrize("prior", [[0.5, 0.5], [0, 1], (0.25, 0.75), np.array([0.5, 0.5]), [0.5, 0.5 + 9e-7]])
def test_class_priors(prior: object) -> None:
    np.testing.assert_allclose(fields.class_prior(prior, 2), np.array(prior))


@pytest.mark.parametrize(
    ("prior", "pointer"),
    [
        ([1.0], "/class_prior"),
        ([0.5, 0.25, 0.25], "/class_prior"),
        ([0.5, 0.5001], "/class_prior"),
        ([-0.5, 1.5], "/class_prior/0"),
        ([float("nan"), 1.0], "/class_prior/0"),
        ([True, 0.0], "/class_prior/0"),
        ([None, 1.0], "/class_prior/0"),
        (0.5, "/class_prior"),
        ([[0.5, 0.5]], "/class_prior"),
        ("half", "/class_prior"),
    ],
)
def test_bad_class_priors(prior: object, pointer: str) -> None:
    with pytest.raises(FieldError) as error:
        fields.class_prior(prior, 2)
    assert error.value.pointer == pointer


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(value=json_values, spec=st.sampled_from([REALS, IMAGE, ArraySpec(shape=(1,))]))
def test_any_json_is_rows_or_a_field_error(value: object, spec: ArraySpec) -> None:
    try:
        rows = fields.rows(value, spec)
    except FieldError as error:
        assert error.pointer.startswith("/x")
    else:
        assert rows.shape[1:] == spec.shape
        assert np.isfinite(rows).all()
