"""A condition as a caller writes it, checked against the signature: one, or n of them, and no other rank."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from inference import fields
from inference.errors import FieldError
from inference.repeated import Repeated
from model_store.signature import ConditionSpec, ImageCondition, LabelCondition, NoCondition, VectorCondition

Rank = Literal["one", "many", "either"]


@dataclass(frozen=True)
class Conditions:
    """Conditions of rows: one for all, or in order one for every `each` rows.

    `array`: (n,) int64 for labels, (n, *shape) otherwise, None for unconditional models. `single`: one was given.
    `first`: what is called row 0 is the row of that place.
    """

    array: np.ndarray | None
    single: bool
    each: int = 1
    first: int = 0

    @property
    def count(self) -> int:
        """n; 1 for unconditional models."""
        return 1 if self.array is None else len(self.array)

    def for_each(self, rows: int) -> Conditions:
        """The same, one for every `rows` rows."""
        return self if rows == self.each else Conditions(self.array, self.single, rows, self.first)

    def of_rows(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """The engine's input for these rows, `{}` where there is none."""
        if self.array is None:
            return {}
        if len(self.array) == 1:
            return {"condition": self.array.repeat(len(rows), axis=0)}
        return {"condition": self.array[(rows + self.first) // self.each]}

    def of_run(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """The same for rows [start, stop)."""
        if self.array is not None and len(self.array) == 1:
            return {"condition": self.array.repeat(stop - start, axis=0) if stop - start > 1 else self.array}
        return self.of_rows(np.arange(start, stop))

    def told(self, start: int, stop: int) -> dict[str, Repeated]:
        """The same, told by run; start < stop."""
        if self.array is None:
            return {}
        if len(self.array) == 1:
            return {"condition": Repeated(self.array, np.array([stop - start]))}
        bounds = np.arange((start + self.first) // self.each, (stop + self.first - 1) // self.each + 2)
        rows = np.clip(bounds * self.each - self.first, start, stop)
        return {"condition": Repeated(self.array[bounds[0] : bounds[-1]], np.diff(rows))}


def conditions(
    spec: ConditionSpec, value: Any, pointer: str = "/condition", rank: Rank = "either", max_count: int | None = None
) -> Conditions:
    """Read one condition, or n of them, by the model's kind.

    Args:
        spec: the signature's condition.
        value: an index or a name, numbers, nested lists or an array; None where absent.
        pointer: where the field stands, for messages.
        rank: what is welcome here: `one`, `many` or `either`.
        max_count: the most conditions that are welcome.

    Raises:
        FieldError: wrong kind, rank, type or range; an unknown label; absent where needed, present where not.

    >>> conditions(LabelCondition(classes=("cat", "dog")), ["dog", 0]).array
    array([1, 0])
    """
    if isinstance(spec, NoCondition):
        if value is not None:
            raise FieldError(pointer, "this model takes no condition")
        return Conditions(None, single=True)
    if value is None:
        raise FieldError(pointer, f"this model needs a condition: {describe(spec)}")
    if isinstance(spec, LabelCondition):
        return _labels(spec, value, pointer, rank, max_count)
    return _arrays(spec, value, pointer, rank, max_count)


def describe(spec: ConditionSpec) -> str:
    """What one condition looks like, for messages."""
    match spec:
        case LabelCondition():
            return f"a class index 0..{len(spec.classes) - 1} or a class name"
        case VectorCondition():
            return f"{fields.counted(spec.size, 'number')}{fields.columns(spec.array)}"
        case ImageCondition():
            return f"an image {' x '.join(map(str, spec.array.shape))}"
        case _:
            return "none"


def _labels(spec: LabelCondition, value: Any, pointer: str, rank: Rank, max_count: int | None) -> Conditions:
    if type(value) is int and 0 <= value < len(spec.classes) and rank != "many":
        return _one_label(value)
    single = not isinstance(value, (list, tuple)) and not (isinstance(value, np.ndarray) and value.ndim > 0)
    if isinstance(value, np.ndarray):
        if value.ndim > 1:
            raise FieldError(pointer, f"expected one label or a list of them, got shape {list(value.shape)}")
        _check_count(len(np.atleast_1d(value)), single, pointer, rank, max_count)
        value = value.tolist()
    else:
        _check_count(1 if single else len(value), single, pointer, rank, max_count)
    if single:
        return _one_label(_label(spec, value, pointer))
    indices = [_label(spec, item, f"{pointer}/{i}") for i, item in enumerate(value)]
    return Conditions(np.array(indices, dtype=np.int64), single)


@lru_cache(maxsize=1024)
def _one_label(index: int) -> Conditions:
    array = np.array([index], dtype=np.int64)
    array.flags.writeable = False
    return Conditions(array, single=True)


def _label(spec: LabelCondition, item: Any, pointer: str) -> int:
    if isinstance(item, str):
        index = _places(spec.classes).get(item)
        if index is None:
            known = ", ".join(spec.classes[:20]) + (", ..." if len(spec.classes) > 20 else "")
            raise FieldError(pointer, f"unknown class name {item[:64]!r}; the classes are {known}")
        return index
    if isinstance(item, (bool, np.bool_)) or not isinstance(item, (int, np.integer)):
        raise FieldError(pointer, f"expected {describe(spec)}, got {fields.described(item)}")
    index = int(item)
    if not 0 <= index < len(spec.classes):
        raise FieldError(pointer, f"expected {describe(spec)}, got {fields.described(index)}")
    return index


@lru_cache(maxsize=64)
def _places(classes: tuple[str, ...]) -> dict[str, int]:
    return {name: index for index, name in enumerate(classes)}


def _arrays(
    spec: VectorCondition | ImageCondition, value: Any, pointer: str, rank: Rank, max_count: int | None
) -> Conditions:
    shape, wanted = fields.shape_of(value, pointer), spec.array.shape
    plain = wanted[1:] if isinstance(spec, ImageCondition) and wanted[0] == 1 else None  # [H, W] when C = 1
    stacks = [wanted] if plain is None else [wanted, plain]
    ones, many = stacks, [1 + len(stack) for stack in stacks]
    single = shape in ones and rank != "many"
    if not single and (len(shape) not in many or shape[1:] not in stacks):
        shapes = " or ".join(str(list(stack)) for stack in stacks)
        several = " or ".join(f"[n, {', '.join(map(str, stack))}]" for stack in stacks)
        expected = {"one": shapes, "many": several, "either": f"{shapes} or {several}"}[rank]
        found = f"shape {list(shape)}" if shape else fields.described(value)
        if fields.channels_last(spec.array, shape):
            found += f", {fields.CHANNELS_LAST}"
        if fields.flat_column(spec.array, shape) and rank != "one":
            found += fields.UNBRACKETED.format(shape[0], "conditions")
        raise FieldError(pointer, f"expected {expected}{fields.contents(spec.array)}, got {found}")
    _check_count(1 if single else shape[0], single, pointer, rank, max_count)
    array = fields.values(value, shape, spec.array, pointer)
    return Conditions(array.reshape(-1, *wanted), single)


def _check_count(count: int, single: bool, pointer: str, rank: Rank, max_count: int | None) -> None:
    if single and rank == "many":
        raise FieldError(pointer, "expected a list of conditions, got one")
    if not single and rank == "one":
        raise FieldError(pointer, "expected one condition, got a list of them; use `conditions`")
    if count == 0:
        raise FieldError(pointer, "expected at least one condition, got none")
    if max_count is not None and count > max_count:
        raise FieldError(pointer, f"expected at most {max_count} conditions, got {count}")
