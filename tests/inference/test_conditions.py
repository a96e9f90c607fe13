"""One condition or n of them, by kind."""

from __future__ import annotations

import numpy as np
import pytest

from inference.conditions import conditions
from inference.errors import FieldError
from model_store.signature import ArraySpec, ImageCondition, LabelCondition, NoCondition, VectorCondition

LABEL = LabelCondition(classes=("cat", "dog", "3"))
VECTOR = VectorCondition(array=ArraySpec(shape=(2,), names=("width", "height")))
NUMBER = VectorCondition(array=ArraySpec(shape=(1,)))
GREY = ImageCondition(array=ArraySpec(shape=(1, 2, 3)))
COLOUR = ImageCondition(array=ArraySpec(shape=(3, 1, 2), dtype="uint8"))


@pytest.mark.parametrize(
    ("spec", "value", "array", "single"),
    [
        (LABEL, 1, [1], True),
        (LABEL, "3", [2], True),
        (LABEL, np.int32(1), [1], True),
        (LABEL, np.array(2), [2], True),
        (LABEL, ["dog", 0, "3"], [1, 0, 2], False),
        (LABEL, np.array([0, 2], dtype=np.uint8), [0, 2], False),
        (LABEL, np.array(["dog", "cat"]), [1, 0], False),
        (VECTOR, [1, 2], [[1, 2]], True),
        (VECTOR, [[1, 2]], [[1, 2]], False),
        (VECTOR, np.zeros((4, 2)), np.zeros((4, 2)), False),
        (NUMBER, [7], [[7]], True),
        (NUMBER, [[7], [8]], [[7], [8]], False),
        (GREY, np.ones((2, 3)), np.ones((1, 1, 2, 3)), True),
        (GREY, np.ones((1, 2, 3)), np.ones((1, 1, 2, 3)), True),
        (GREY, np.ones((4, 2, 3)), np.ones((4, 1, 2, 3)), False),
        (GREY, np.ones((1, 1, 2, 3)), np.ones((1, 1, 2, 3)), False),
        (COLOUR, np.ones((3, 1, 2)), np.ones((1, 3, 1, 2)), True),
        (COLOUR, np.ones((5, 3, 1, 2)), np.ones((5, 3, 1, 2)), False),
    ],
)
def test_welcome(spec, value, array, single) -> None:
    read = conditions(spec, value)
    assert read.single is single
    np.testing.assert_array_equal(read.array, array)
    assert read.array.dtype == {"label": np.int64}.get(spec.kind, np.uint8 if spec is COLOUR else np.float32)
    assert conditions(spec, value, rank="one" if single else "many").count == len(array)


def test_one_grey_image_among_many() -> None:
    read = conditions(GREY, np.ones((1, 2, 3)), rank="many")
    assert (read.count, read.single) == (1, False)


def test_none() -> None:
    read = conditions(NoCondition(), None)
    assert (read.array, read.single, read.count, read.of_rows(np.arange(3))) == (None, True, 1, {})


@pytest.mark.parametrize(
    ("spec", "value", "pointer", "message"),
    [
        (NoCondition(), 0, "/c", "takes no condition"),
        (LABEL, None, "/c", "needs a condition"),
        (LABEL, True, "/c", "a boolean"),
        (LABEL, 1.0, "/c", "got 1.0"),
        (LABEL, 3, "/c", "expected a class index 0..2"),
        (LABEL, -1, "/c", "expected a class index 0..2"),
        (LABEL, "cow", "/c", "unknown class name 'cow'"),
        (LABEL, {"class": 1}, "/c", "an object"),
        (LABEL, [], "/c", "at least one"),
        (LABEL, [0, False], "/c/1", "a boolean"),
        (LABEL, [0, "cow"], "/c/1", "unknown class name"),
        (LABEL, [[0]], "/c/0", "a list"),
        (LABEL, np.array([[0]]), "/c", "shape [1, 1]"),
        (LABEL, np.array([0.0]), "/c/0", "got 0.0"),
        (LABEL, np.array([True]), "/c/0", "a boolean"),
        (LABEL, 10**30, "/c", "expected a class index"),
        (VECTOR, 3, "/c", "expected [2] or [n, 2]"),
        (VECTOR, [1, 2, 3], "/c", "expected [2] or [n, 2] (2 numbers per row: width, height), got shape [3]"),
        (VECTOR, None, "/c", "needs a condition: 2 numbers: width, height"),
        (VECTOR, [[1, 2, 3]], "/c", "shape [1, 3]"),
        (VECTOR, [[[1, 2]]], "/c", "shape [1, 1, 2]"),
        (VECTOR, [1, "2"], "/c/1", "a string"),
        (VECTOR, [[1, 2], [3]], "/c/1", "expected 2 values"),
        (VECTOR, [1, float("nan")], "/c/1", "finite"),
        (VECTOR, "cat", "/c", "expected [2]"),
        (NUMBER, 7, "/c", "expected [1] or [n, 1] (1 number per row), got 7"),
        (NUMBER, [1, 2], "/c", "got shape [2]; 2 conditions of one number each are written [[1.5], [2.5], ...]"),
        (GREY, np.ones((3, 2)), "/c", "expected [1, 2, 3] or [2, 3]"),
        (GREY, np.ones((2, 2, 2, 3)), "/c", "expected [1, 2, 3]"),
        (COLOUR, np.ones((1, 2)), "/c", "expected [3, 1, 2] or [n, 3, 1, 2]"),
        (COLOUR, np.full((3, 1, 2), 0.5), "/c/0/0/0", "whole number 0..255"),
    ],
)
def test_refused(spec, value, pointer, message) -> None:
    with pytest.raises(FieldError) as error:
        conditions(spec, value, "/c")
    assert error.value.pointer == pointer
    assert message in error.value.message


@pytest.mark.parametrize(
    ("spec", "one", "many"),
    [(LABEL, 1, [1, 0]), (VECTOR, [1, 2], [[1, 2]]), (GREY, np.ones((2, 3)), np.ones((4, 2, 3)))],
)
def test_ranks(spec, one, many) -> None:
    with pytest.raises(FieldError):
        conditions(spec, one, rank="many")
    with pytest.raises(FieldError):
        conditions(spec, many, rank="one")


def test_limit() -> None:
    for spec, value in ((LABEL, [0, 1, 2]), (VECTOR, np.broadcast_to(0.0, (10**12, 2)))):
        with pytest.raises(FieldError, match="at most 2 conditions"):
            conditions(spec, value, max_count=2)


def test_rows_share_conditions_in_order() -> None:
    read = conditions(LABEL, [2, 0])
    np.testing.assert_array_equal(read.of_rows(np.array([1, 0, 1]))["condition"], [0, 2, 0])
