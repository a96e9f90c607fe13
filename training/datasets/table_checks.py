"""What makes a table unfit for a density, each found before a fit and said in plain words."""

from __future__ import annotations

import numpy as np

from training.errors import DataError

CHECKED_ROWS = 20_000
DETERMINED = 1e-6
SPIKE_SHARE, SPIKE_ROWS = 0.02, 10
LARGEST = 1e19  # its square is within float32
COARSEST = 1e-3  # spacing of float32 numbers, in standard deviations
FINEST = 2e-8  # standard deviation beside 1 + |mean|, below which the model takes a column for constant
FEW_ROWS, LISTED = 10, 8
SPARE_ROWS = 10  # more than the columns of a linear function, else any column is one


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


def refuse_text(name: str, array: np.ndarray, why: str, most: float = 1.0) -> None:
    """Raises DataError, `why` with the first cell that is no number, if no more than the share `most` of cells are."""
    if array.dtype != object:
        return
    texts = [(row, cell) for row, cell in enumerate(array, start=1) if cell is not None and not _is_number(cell)]
    if len(texts) <= most * len(array):
        row, cell = texts[0] if texts else (1, array[0])
        raise DataError(f"{name}: {why} (row {row}: {str(cell)!r:.80})")


def refuse_beyond_float32(arrays: dict[str, np.ndarray]) -> None:
    """Raises DataError that names the first row with a finite number whose square float32 cannot hold."""
    for name, array in arrays.items():
        if array.dtype.kind != "f" and not (array.dtype.kind in "iu" and array.dtype.itemsize == 8):
            continue
        flat = array.reshape(len(array), -1)
        beyond = np.isfinite(flat) & (np.abs(flat.astype(np.float64)) > LARGEST)
        if beyond.any():
            row, column = np.argwhere(beyond)[0]
            raise DataError(
                f"{name}: row {row + 1} holds {flat[row, column]:g}, beyond float32 (expected at most {LARGEST:g}). "
                "Correct it, or divide the column"
            )


def refuse_constant(name: str, column: np.ndarray, role: str) -> None:
    """Raises DataError for a column that has one value only."""
    if (column == column[0]).all():
        why = "it has no density" if role == "x" else "it tells nothing about x"
        raise DataError(f"{name} is constant ({column[0]:g}): {why}. Leave it out of --{role}")


def refuse_unresolved(name: str, column: np.ndarray) -> None:
    """Raises DataError where z = (x - mean) / sd, computed in float32, no longer tells the values of x apart."""
    deviations = _from_least(column)
    low, high, deviation = float(column.min()), float(column.max()), float(deviations.std())
    near = max(abs(low), abs(high))
    if np.spacing(np.float32(near)) > COARSEST * deviation:
        raise DataError(
            f"{name}: values near {near:g} differ by less than float32 can tell (standard deviation {deviation:g}). "
            "Subtract an offset from the column"
        )
    if deviation <= FINEST * (1 + abs(low + float(deviations.mean()))):
        raise DataError(
            f"{name}: values from {low:g} to {high:g} are too close together for float32 (standard deviation "
            f"{deviation:g}). Multiply the column, in other units for example"
        )
    chosen = column[_some(len(column))]
    standardised = (chosen.astype(np.float32) - np.float32(column.mean())) / np.float32(deviation)
    if len(np.unique(standardised)) < len(np.unique(chosen)) / 2:
        far = column[np.abs(column - np.median(column)).argmax()]
        raise DataError(
            f"{name}: {far:g} is so far from the other values that float32 cannot tell those apart beside it. "
            "Correct it, or leave its row out"
        )


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
    monotone function), or where x is a linear function of the whole condition, or of it and the other columns of x:
    then the density of the columns together is a spike.
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
    if found or len(x) < x.shape[1] + condition.shape[1] + SPARE_ROWS:
        return found
    for j, x_name in enumerate(x_names):
        if _unexplained(x[:, j], np.column_stack([np.delete(x, j, axis=1), condition])) < DETERMINED:
            whole = ", ".join(names)
            return [f"the condition {whole} leaks x: {x_name} is a linear function of it and the other columns of --x"]
    return []


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


def rare_classes(name: str, classes: tuple[str, ...], labels: np.ndarray, train: np.ndarray) -> list[str]:
    """Which classes have few training rows, in words. Raises DataError for one that has none."""
    counts = np.bincount(labels[train], minlength=len(classes))
    if absent := [label for label, count in zip(classes, counts, strict=True) if not count]:
        others = f", and {len(absent) - 1} more of {len(classes)} have none" if len(absent) > 1 else ""
        raise DataError(
            f"{name}: class {absent[0]!r} has no training row{others}: nothing can be learned of it. Merge rare "
            "classes, leave their rows out, or split otherwise with --set data.seed=1"
        )
    few = [f"{label} {count}" for label, count in zip(classes, counts, strict=True) if count < FEW_ROWS]
    if not few:
        return []
    more = f", and {len(few) - LISTED} more" if len(few) > LISTED else ""
    return [
        f"{name}: classes with fewer than {FEW_ROWS} training rows ({', '.join(few[:LISTED])}{more}): what the flow "
        "says of them, and their probabilities, are guesses"
    ]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _from_least(column: np.ndarray) -> np.ndarray:
    """x - min x in float64; of integers exact, however far from 0 they lie."""
    least = column - column.min()
    if column.dtype.kind == "i":
        least = least.view(f"u{column.dtype.itemsize}")  # the difference of the ends may be more than the type holds
    return least.astype(np.float64)


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
