"""Where samples of a column of x stay: what may be set, what the values must keep to, and what is suggested."""

from __future__ import annotations

import math
import re
import shlex
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator

from training.datasets.base import Column, Note
from training.errors import DataError


def _checked(value: Any) -> Any:
    """`real`, `positive`, or an interval whose infinite ends are None. Raises ValueError for anything else."""
    if value in ("real", "positive"):
        return value
    try:
        low, high = (
            away if end is None else float(end) for end, away in zip(value, (-math.inf, math.inf), strict=True)
        )
    except (TypeError, ValueError):
        low, high = math.nan, math.nan
    if isinstance(value, str) or not -math.inf <= low < high <= math.inf or math.inf in (low, -high):
        raise ValueError("expected real, positive or [low, high] with low < high, where .inf leaves a side open")
    return (None if low == -math.inf else low, None if high == math.inf else high)


Support = Annotated[Literal["real", "positive"] | tuple[float | None, float | None], BeforeValidator(_checked)]


def supported(name: str, values: np.ndarray, support: Support | None) -> Column:
    """The column of x with its support, or with the suggestion of one. Raises DataError for values outside of it."""
    low, high = float(values.min()), float(values.max())
    column = Column(name, "x", "number", low, high)
    if support is None:
        if low > 0 and high < 1:
            return replace(column, notes=(Note("inside (0, 1); to keep samples there:", _setting(name, "[0,1]")),))
        if low > 0:
            return replace(column, notes=(Note("positive; to keep samples so:", _setting(name, "positive")),))
        return column
    lower, upper = {"real": (None, None), "positive": (0.0, None)}[support] if isinstance(support, str) else support
    shown = support if isinstance(support, str) else f"({_end(lower, '-inf')}, {_end(upper, 'inf')})"
    if (lower is not None and low <= lower) or (upper is not None and high >= upper):
        raise DataError(f"data.support.{name}: its values reach from {low:g} to {high:g}, not strictly inside {shown}")
    if lower is None and upper is None:
        return column
    return replace(column, lower=lower, upper=upper, notes=(Note(f"samples are kept within its support, {shown}"),))


def _end(bound: float | None, infinite: str) -> str:
    return infinite if bound is None else f"{bound:g}"


def _setting(name: str, support: str) -> str:
    """The option that sets the support of one column; its name in quotes where a dotted key needs them.

    >>> print(_setting("alcohol", "positive"))
    --set data.support.alcohol=positive
    >>> print(_setting("a.b", "positive"))
    --set 'data.support."a.b"=positive'
    """
    quoted = '"' + name.replace('"', '""') + '"'
    key = name if re.fullmatch(r'[^.="\s](?:[^.="]*[^.="\s])?', name) else quoted
    return f"--set {shlex.quote(f'data.support.{key}={support}')}"
