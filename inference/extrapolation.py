"""Which conditions lie where a version learned nothing."""

from __future__ import annotations

import numpy as np

from inference.conditions import Conditions
from model_store.signature import ConditionSpec, VectorCondition

MARGIN = 0.1


def extrapolated(spec: ConditionSpec, read: Conditions) -> np.ndarray | None:
    """`any_j (c_j < least_j - m_j or c_j > greatest_j + m_j)`, `m_j = 0.1 (greatest_j - least_j)`: (conditions,) bool.

    `least` and `greatest` are of the rows that the version learned from; the margin lets pass what a few more rows
    would have reached. Elements are looked at one by one: a hole between the rows is not noticed. None where the
    version does not know its range, or the condition is no vector.
    """
    if not isinstance(spec, VectorCondition) or not spec.least or read.array is None:
        return None
    least, greatest = (np.array(ends).reshape(spec.array.shape) for ends in (spec.least, spec.greatest))
    margin = MARGIN * (greatest - least)
    outside = (read.array < least - margin) | (read.array > greatest + margin)
    return outside.reshape(read.count, -1).any(axis=1)


def extrapolated_rows(spec: ConditionSpec, read: Conditions, rows: int) -> np.ndarray | None:
    """The same for rows of which each has its condition, or all have one: (rows,) bool or None."""
    outside = extrapolated(spec, read)
    return None if outside is None else np.broadcast_to(outside, rows)
