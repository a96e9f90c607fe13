"""What makes a table unfit for a density, each found before a fit and said in plain words."""

from __future__ import annotations

import numpy as np

from training.errors import DataError

CHECKED_ROWS = 20_000
DETERMINED = 1e-6
SPIKE_SHARE, SPIKE_ROWS = 0.02, 10


def missing(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Which rows lack a value or hold one that is not finite: (rows,) bool."""
    rows = len(next(iter(arrays.values())))
    lacking = np.zeros(rows, dtype=bool)
    for array in arrays.values():
        lacking |= _absent(array)
    return lacking


def missing_by_column(arrays: dict[str, np.ndarray]) -> str:
    """How many values are missing or not finite, per column that lacks some; empty if none does."""
    counts = {name: int(_absent(array).sum()) for name, array in arrays.items()}
    return ", ".join(f"{name} {count}" for name, count in counts.items() if count)


def refuse_missing(arrays: dict[str, np.ndarray]) -> None:
    """Raises DataError that counts missing values per column."""
    if found := missing_by_column(arrays):
        rows = len(next(iter(arrays.values())))
        raise DataError(
            f"missing or not finite values (of {rows} rows): {found}. "
            "Fill them, or drop those rows with --set data.missing=drop"
        )


def refuse_constant(names: list[str], values: np.ndarray, role: str) -> None:
    """Raises DataError for a column of (rows, columns) that has one value only."""
    for name, column in zip(names, values.T, strict=True):
        if np.ptp(column) <= 1e-12 * max(1.0, float(np.abs(column).max())):
            why = "it has no density" if role == "x" else "it tells nothing about x"
            raise DataError(f"{name} is constant ({column[0]:g}): {why}. Leave it out of --{role}")


def refuse_dependent(names: list[str], x: np.ndarray) -> None:
    """Raises DataError where a column of x is a linear function of the others: the density would be unbounded."""
    if len(names) < 2:
        return
    chosen = _some(len(x))
    for index, name in enumerate(names):
        others = [other for other in range(len(names)) if other != index]
        if _unexplained(x[chosen, index], x[chosen][:, others]) < 1e-9:
            raise DataError(
                f"{name} is a linear function of the other columns of --x: together they have no density. Leave it out"
            )


def leaks(x_names: list[str], x: np.ndarray, names: list[str], condition: np.ndarray) -> list[str]:
    """Where the condition determines a column of x, in words: given it, that column's density is a spike.

    Found where sorting by a column of the condition leaves the ranks of x hardly any jump between neighbours (von
    Neumann's ratio, mean (r_(i+1) - r_i)^2 / 2 var r: the unexplained share of the variance, and 6 / rows^2 for a
    monotone function), or where x is a linear function of the whole condition.
    """
    chosen = _some(len(x))
    x, condition = x[chosen], condition[chosen]
    smooth = max(DETERMINED, 8 / len(x) ** 2)
    found = []
    for j, x_name in enumerate(x_names):
        ranks = np.unique(x[:, j], return_inverse=True)[1].astype(np.float64)
        sources = [name for k, name in enumerate(names) if _jumps(ranks, condition[:, k]) < smooth]
        if not sources and _unexplained(x[:, j], condition) < DETERMINED:
            sources = [", ".join(names)]
        found += [f"the condition {name} leaks x: {x_name} is a copy or a function of it" for name in sources]
    return found


def spike(values: np.ndarray) -> tuple[float, float] | None:
    """The value that comes up most often and its share of the rows, if that is 2% or more and 10 rows; else None.

    A continuous column has no such value; one that is zero-inflated, or cut off at a limit, has.

    >>> spike(np.concatenate([np.zeros(25), np.linspace(1, 2, 75)])), spike(np.linspace(1, 2, 75))
    ((0.0, 0.25), None)
    """
    distinct, counts = np.unique(values, return_counts=True)
    most = int(counts.argmax())
    if counts[most] < max(SPIKE_ROWS, SPIKE_SHARE * len(values)):
        return None
    return float(distinct[most]), float(counts[most] / len(values))


def spikes(names: list[str], x: np.ndarray) -> list[str]:
    """What a value that many rows share means for the density of its column, in words; for those that have one."""
    found = []
    for name, column in zip(names, x.T, strict=True):
        if (seen := spike(column)) is not None:
            value, share = seen
            found.append(
                f"{name}: {share:.0%} of the values are exactly {value:g}, which is a mass and no density. The flow "
                f"puts as narrow a peak there as it can: likelihoods of rows at {value:g} say little and pull up the "
                f"mean, and samples come close to {value:g} without being it. Better: fit the other rows alone, and "
                f"predict whether it is {value:g} apart"
            )
    return found


def _absent(array: np.ndarray) -> np.ndarray:
    if array.dtype == object:
        return np.array([value is None for value in array])
    if array.dtype.kind == "f":
        return ~np.isfinite(array).reshape(len(array), -1).all(axis=1)
    return np.zeros(len(array), dtype=bool)


def _some(rows: int) -> np.ndarray:
    if rows <= CHECKED_ROWS:
        return np.arange(rows)
    return np.random.default_rng(0).choice(rows, CHECKED_ROWS, replace=False)


def _jumps(values: np.ndarray, c: np.ndarray) -> float:
    """Von Neumann's ratio of the values in the order of c; ties in c are broken by the order of the rows."""
    ordered = values[np.argsort(c, kind="stable")]
    return float((np.diff(ordered) ** 2).mean() / (2 * values.var()))


def _unexplained(target: np.ndarray, columns: np.ndarray) -> float:
    """Share of the variance of `target` that no linear function of the columns explains."""
    scaled = (columns - columns.mean(axis=0)) / np.maximum(columns.std(axis=0), 1e-300)
    design = np.column_stack([scaled, np.ones(len(target))])
    centred = (target - target.mean()) / target.std()
    solution, *_ = np.linalg.lstsq(design, centred, rcond=None)
    return float(((centred - design @ solution) ** 2).mean())
