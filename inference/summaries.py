"""Statistics of the samples of each condition, gathered while they are drawn: the samples need not be kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from inference import fields
from inference.errors import FieldError
from inference.moments import Moments
from inference.quantiles import Quantiles, quantiles
from model_store.signature import ArraySpec

STATISTICS = ("mean", "sd", "quantiles", "covariance")
DEFAULT_LEVELS = (0.025, 0.05, 0.25, 0.5, 0.75, 0.95, 0.975)
MOST_LEVELS = 100
QUANTILE_VALUES = 2**23


@dataclass(frozen=True)
class Wanted:
    """Which statistics are asked, and the levels of the quantiles; `values`: numbers kept for the quantiles."""

    statistics: frozenset[str]
    levels: np.ndarray
    values: int

    def quantiles(self, spec: ArraySpec, samples: int) -> Quantiles:
        """What gathers the quantiles of one condition. Raises TooManyValues."""
        return quantiles(samples, spec.size, self.values, integers=spec.levels if spec.is_integer else None)


def wanted(statistics: Any, levels: Any, samples: int, values: int = QUANTILE_VALUES) -> Wanted | None:
    """What was asked, checked; None where nothing was. Raises FieldError."""
    if statistics is None:
        if levels is not None:
            raise FieldError("/quantile_levels", "goes with `quantiles` in `summary`")
        return None
    names = f"a list of some of {', '.join(STATISTICS)}"
    if not isinstance(statistics, (list, tuple)) or not statistics:
        raise FieldError("/summary", f"expected {names}, got {fields.described(statistics)}")
    for place, name in enumerate(statistics):
        if name not in STATISTICS:
            found = repr(name[:64]) if isinstance(name, str) else fields.described(name)
            raise FieldError(f"/summary/{place}", f"expected one of {', '.join(STATISTICS)}, got {found}")
        if name in statistics[:place]:
            raise FieldError(f"/summary/{place}", f"expected each statistic once, got {name!r} twice")
    if samples < 2 and not {"sd", "covariance"}.isdisjoint(statistics):
        raise FieldError("/num_samples", "expected 2 or more, which sd and covariance need")
    if levels is not None and "quantiles" not in statistics:
        raise FieldError("/quantile_levels", "goes with `quantiles` in `summary`")
    return Wanted(frozenset(statistics), _levels(levels), values)


def _levels(levels: Any) -> np.ndarray:
    if levels is None:
        return np.array(DEFAULT_LEVELS)
    shape = fields.shape_of(levels, "/quantile_levels")
    if len(shape) != 1 or not 1 <= shape[0] <= MOST_LEVELS:
        raise FieldError("/quantile_levels", f"expected a list of 1..{MOST_LEVELS} numbers, got shape {list(shape)}")
    array = fields.numbers(levels, shape, "/quantile_levels").astype(np.float64)
    for place, level in enumerate(array):
        if not 0 <= level <= 1:
            raise FieldError(f"/quantile_levels/{place}", f"expected a number 0..1, got {level}")
    return array


class Summaries:
    """Takes samples condition by condition, `samples` of each; holds what one condition needs beside its answers."""

    def __init__(self, wanted: Wanted, spec: ArraySpec, conditions: int, samples: int) -> None:
        self._wanted, self._spec, self._samples = wanted, spec, samples
        size = spec.size
        shapes = {"mean": (size,), "sd": (size,), "quantiles": (len(wanted.levels), size), "covariance": (size, size)}
        self._answers = {
            name: np.empty((conditions, *shapes[name])) for name in STATISTICS if name in wanted.statistics
        }
        self._row = 0
        self._error = 0.0
        self._start()

    def add(self, rows: np.ndarray) -> None:
        """Take the next samples (n, *data)."""
        flat = rows.reshape(len(rows), -1)
        while len(flat):
            left = self._samples - self._row % self._samples
            part, flat = flat[:left], flat[left:]
            if self._moments is not None:
                self._moments.add(part)
            if self._quantiles is not None:
                self._quantiles.add(part)
            self._row += len(part)
            if len(part) == left:
                self._finish(self._row // self._samples - 1)

    def answer(self, leading: tuple[int, ...]) -> dict[str, Any]:
        """By name; (*leading, *data), quantiles (*leading, levels, *data), covariance (*leading, D, D)."""
        data, named = self._spec.shape, dict[str, Any]()
        for name, array in self._answers.items():
            if name == "quantiles":
                named[name] = array.reshape(*leading, len(self._wanted.levels), *data)
                named["quantile_levels"] = self._wanted.levels
                named["quantile_error"] = self._error
            else:
                named[name] = array.reshape(*leading, *(array.shape[1:] if name == "covariance" else data))
        return named

    def _start(self) -> None:
        asked = self._wanted.statistics
        self._moments = Moments(self._spec.size, covariance="covariance" in asked) if asked - {"quantiles"} else None
        self._quantiles = self._wanted.quantiles(self._spec, self._samples) if "quantiles" in asked else None

    def _finish(self, place: int) -> None:
        if self._moments is not None:
            found = {"mean": self._moments.mean, "sd": np.sqrt(self._moments.variance)}
            if "covariance" in self._answers:
                found["covariance"] = self._moments.covariance
            for name in found.keys() & self._answers.keys():
                self._answers[name][place] = found[name]
        if self._quantiles is not None:
            self._answers["quantiles"][place] = self._quantiles.at(self._wanted.levels)
            self._error = self._quantiles.error
        if place + 1 < next(iter(self._answers.values())).shape[0]:
            self._start()
