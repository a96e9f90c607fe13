"""Checks of what a caller sends: parsed JSON values or arrays in, canonical arrays out, or a `FieldError`.

Shapes are read off the nesting, and limits checked, before anything is allocated.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from math import inf, isfinite
from typing import Any

import numpy as np

from inference.errors import FieldError
from model_store.signature import ArraySpec

SEED_BITS = 53
SEED_LIMIT = 2**SEED_BITS
_LARGEST = float(np.finfo(np.float32).max)
CHANNELS_LAST = "which looks like channels last (H, W, C): move the channels to the front"
UNBRACKETED = "; {} {} of one number each are written [[1.5], [2.5], ...]"
MOST_NAMES = 8
_FITTING = f"expected a number between -{_LARGEST:.2g} and {_LARGEST:.2g} (float32)"


def shape_of(value: Any, pointer: str, max_rank: int = 5) -> tuple[int, ...]:
    """Shape of an array or of nested lists, by the first element of each level; allocates nothing.

    Raises:
        FieldError: if the nesting is deeper than `max_rank`.

    >>> shape_of([[1, 2, 3], [4, 5, 6]], "/x")
    (2, 3)
    """
    if isinstance(value, np.ndarray):
        return value.shape
    shape: list[int] = []
    while isinstance(value, (list, tuple)):
        if len(shape) == max_rank:
            raise FieldError(pointer, f"nested deeper than {max_rank} levels")
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return tuple(shape)


def numbers(value: Any, shape: tuple[int, ...], pointer: str, holds: str = "") -> np.ndarray:
    """`value` as an array of numbers of exactly `shape`: float64, or the integer dtype it came in.

    `holds` says for messages what the numbers are, see `contents`. Refuses ragged lists, booleans, strings, nulls,
    complex and object arrays; names the first offending element.
    """
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "fiu":
            raise FieldError(pointer, f"expected numbers, got an array of dtype {value.dtype}")
        if value.shape != shape:
            raise FieldError(pointer, f"expected shape {list(shape)}{holds}, got {list(value.shape)}")
        return value
    flat: Sequence[Any] = [value]
    for level, length in enumerate(shape):
        for place, item in enumerate(flat):
            if not isinstance(item, (list, tuple)) or len(item) != length:
                found = counted(len(item), "value") if isinstance(item, (list, tuple)) else described(item)
                wanted = f"expected {counted(length, 'value')}{holds}"
                raise FieldError(_at(pointer, place, shape[:level]), f"{wanted}, got {found}")
        flat = list(chain.from_iterable(flat))
    if not set(map(type, flat)) <= {int, float}:
        place, item = next((i, item) for i, item in enumerate(flat) if type(item) not in (int, float))
        raise FieldError(_at(pointer, place, shape), f"expected a number, got {described(item)}")
    try:
        return np.array(flat, dtype=np.float64).reshape(shape)
    except OverflowError:
        place, item = next((i, item) for i, item in enumerate(flat) if abs(item) > _LARGEST)
        raise FieldError(_at(pointer, place, shape), f"{_FITTING}, got {described(item)}") from None


def reals(value: Any, shape: tuple[int, ...], pointer: str, holds: str = "") -> np.ndarray:
    """Finite float32 of exactly `shape`; values beyond float32 are refused."""
    array = numbers(value, shape, pointer, holds)
    bad = ~(np.abs(array.astype(np.float64, copy=False)) <= _LARGEST)
    if bad.any():
        place = int(np.flatnonzero(bad)[0])
        found = float(array.reshape(-1)[place])
        wanted = _FITTING if isfinite(found) else "expected a finite number"
        raise FieldError(_at(pointer, place, shape), f"{wanted}, got {found:g}")
    return np.ascontiguousarray(array, dtype=np.float32)


def integers(value: Any, shape: tuple[int, ...], levels: int, pointer: str, holds: str = "") -> np.ndarray:
    """uint8 of exactly `shape`, whole numbers `0..levels-1`."""
    array = numbers(value, shape, pointer, holds)
    bad = ~((array >= 0) & (array <= levels - 1) & (array == np.floor(array)))
    if bad.any():
        place = int(np.flatnonzero(bad)[0])
        found = array.reshape(-1)[place]
        raise FieldError(_at(pointer, place, shape), f"expected a whole number 0..{levels - 1}, got {found:g}")
    return np.ascontiguousarray(array, dtype=np.uint8)


def values(value: Any, shape: tuple[int, ...], spec: ArraySpec, pointer: str) -> np.ndarray:
    """`integers` or `reals`, as the specification says."""
    holds = contents(spec)
    if spec.is_integer:
        return integers(value, shape, spec.levels, pointer, holds)
    return reals(value, shape, pointer, holds)


def rows(value: Any, spec: ArraySpec, pointer: str = "/x", max_rows: int | None = None) -> np.ndarray:
    """Rows `(n, *shape)` of the data; one row without the first axis is accepted.

    Raises:
        FieldError: wrong rank, shape, type or range; no rows; more than `max_rows`.

    >>> rows([0.5, 1.5], ArraySpec(shape=(2,))).shape
    (1, 2)
    """
    shape = shape_of(value, pointer)
    wanted = f"expected rows [n, {', '.join(map(str, spec.shape))}] or one row {list(spec.shape)}{contents(spec)}"
    if channels_last(spec, shape):
        raise FieldError(pointer, f"{wanted}, got shape {list(shape)}, {CHANNELS_LAST}")
    if flat_column(spec, shape):
        raise FieldError(pointer, f"{wanted}, got shape {list(shape)}{UNBRACKETED.format(shape[0], 'rows')}")
    if len(shape) == len(spec.shape):
        return values(value, spec.shape, spec, pointer)[None]
    if len(shape) != len(spec.shape) + 1:
        raise FieldError(pointer, f"{wanted}, got {_found(value, shape)}")
    if shape[0] == 0:
        raise FieldError(pointer, "expected at least one row, got none")
    if max_rows is not None and shape[0] > max_rows:
        raise FieldError(pointer, f"expected at most {max_rows} rows, got {shape[0]}")
    return values(value, (shape[0], *spec.shape), spec, pointer)


def seed(value: Any, pointer: str = "/seed") -> int:
    """An integer 0 <= seed < 2^53."""
    return whole(value, pointer, 0, SEED_LIMIT - 1)


def whole(value: Any, pointer: str, low: int, high: int | None = None) -> int:
    """An integer low <= value <= high; no booleans, no fractions."""
    if type(value) is int and low <= value and (high is None or value <= high):
        return value
    integer = isinstance(value, (int, np.integer)) and not isinstance(value, (bool, np.bool_))
    if not integer or value < low or (high is not None and value > high):
        wanted = f"expected an integer {low} or more" if high is None else f"expected an integer {low}..{high}"
        raise FieldError(pointer, f"{wanted}, got {described(value)}")
    return int(value)


def real(value: Any, pointer: str, low: float = 0.0) -> float:
    """A finite number low <= value that float32 can hold; no booleans."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise FieldError(pointer, f"expected a number, got {described(value)}")
    if not low <= value <= _LARGEST:
        raise FieldError(pointer, f"expected a finite number {low:g} or more, got {described(value)}")
    return float(value)


def class_prior(value: Any, classes: int, pointer: str = "/class_prior") -> np.ndarray:
    """Probabilities of all classes, float64, non-negative, summing to one within 1e-6."""
    if len(shape_of(value, pointer)) != 1:
        raise FieldError(
            pointer, f"expected a list of {classes} probabilities, got {_found(value, shape_of(value, pointer))}"
        )
    prior = numbers(value, (classes,), pointer).astype(np.float64)
    bad = ~((prior >= 0) & (prior <= 1 + 1e-6))
    if bad.any():
        place = int(np.flatnonzero(bad)[0])
        raise FieldError(f"{pointer}/{place}", f"expected a probability, got {prior[place]:g}")
    total = float(prior.sum())
    if abs(total - 1) > 1e-6:
        raise FieldError(pointer, f"expected probabilities that sum to 1 within 1e-6, got a sum of {total:.9g}")
    return prior


def _at(pointer: str, place: int, shape: tuple[int, ...]) -> str:
    if not shape:
        return pointer
    return pointer + "".join(f"/{index}" for index in np.unravel_index(place, shape))


def _found(value: Any, shape: tuple[int, ...]) -> str:
    return f"shape {list(shape)}" if shape or isinstance(value, np.ndarray) else described(value)


def described(value: Any) -> str:
    """What a value of the wrong kind or range is, in words and briefly, for messages.

    >>> described(1e30), described(1.0), described(None), described("three")
    ('1e+30 (beyond 64 bits)', '1.0', 'null', 'a string')
    """
    if isinstance(value, (bool, np.bool_)):
        return "a boolean"
    if isinstance(value, (int, np.integer)):
        return f"{value}" if abs(int(value)) < 2**64 else "a number of more than 64 bits"
    if isinstance(value, (float, np.floating)):
        number = float(value)
        return f"{number} (beyond 64 bits)" if 2.0**64 <= abs(number) < inf else f"{number}"
    if isinstance(value, (list, tuple, np.ndarray)):
        return "a list" if len(value) else "an empty list"
    return {str: "a string", dict: "an object", type(None): "null"}.get(type(value), type(value).__name__)


def contents(spec: ArraySpec) -> str:
    """What a row holds, in brackets and for messages: the order of an image's axes, the columns of a vector.

    >>> print(contents(ArraySpec(shape=(1,), names=("alcohol",))))
     (1 number per row: alcohol)
    """
    if spec.is_image:
        return " (axes C, H, W: channels first)"
    if len(spec.shape) != 1:
        return ""
    return f" ({counted(spec.size, 'number')} per row{columns(spec)})"


def columns(spec: ArraySpec) -> str:
    """The names of a vector's elements after a colon, for messages; empty where they have none."""
    if spec.names is None:
        return ""
    return f": {', '.join(spec.names[:MOST_NAMES])}{', ...' if spec.size > MOST_NAMES else ''}"


def counted(count: int, what: str) -> str:
    """`1 number`, `2 numbers`."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def flat_column(spec: ArraySpec, shape: tuple[int, ...]) -> bool:
    """Whether several rows of one number each were sent as one list.

    >>> flat_column(ArraySpec(shape=(1,)), (40,)), flat_column(ArraySpec(shape=(1,)), (40, 1))
    (True, False)
    """
    return spec.shape == (1,) and len(shape) == 1 and shape[0] > 1


def channels_last(spec: ArraySpec, shape: tuple[int, ...]) -> bool:
    """Whether images C x H x W were sent as H x W x C.

    >>> channels_last(ArraySpec(shape=(3, 28, 28)), (5, 28, 28, 3))
    True
    """
    return spec.is_image and shape[-3:] != spec.shape and shape[-3:] == (*spec.shape[1:], spec.shape[0])
