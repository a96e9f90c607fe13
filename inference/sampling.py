"""Draw x given a condition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from inference.drawing import Drawing, drawing
from inference.engine import Arrays
from inference.errors import FieldError
from inference.loaded import Loaded
from inference.summaries import QUANTILE_VALUES, Summaries, Wanted, wanted
from inference.work import Question


@dataclass(frozen=True)
class Samples:
    """Draws and what was asked with them; leading axes [conditions, num_samples], for one condition [num_samples].

    Attributes:
        samples: (..., *data), float32, or uint8 for integer data.
        seed: of the draw.
        log_likelihood: float64 (...), what `log_likelihood` says of the samples with its defaults; None if not asked.
        latent: part -> float32 (..., *part), as decoded: after the temperature; None if not asked.
        extrapolated: bool [conditions], for one condition []: whether it lies outside what the version was fitted to
            (`inference.extrapolation`); None where the version does not know.
    """

    samples: np.ndarray
    seed: int
    log_likelihood: np.ndarray | None
    latent: dict[str, np.ndarray] | None
    extrapolated: np.ndarray | None


@dataclass(frozen=True)
class Summarized:
    """Statistics of the samples of each condition (`inference.summaries`), and what else was asked, as in `Samples`."""

    samples: np.ndarray | None
    seed: int
    log_likelihood: np.ndarray | None
    latent: dict[str, np.ndarray] | None
    summary: dict[str, Any] | None
    extrapolated: np.ndarray | None


def sample(loaded: Loaded, condition: Any = None, num_samples: Any = None, **options: Any) -> Question[Samples]:
    """`x = decode(temperature * u, c)`, u standard normal. Arguments are those of `inference.drawing.drawing`.

    They are checked here, before the question starts. Raises FieldError, CannotAnswer.
    """
    return samples_of(drawing(loaded, condition, num_samples, **options))


def summarize(
    loaded: Loaded,
    condition: Any = None,
    num_samples: Any = None,
    *,
    summary: Any = None,
    quantile_levels: Any = None,
    quantile_values: int = QUANTILE_VALUES,
    return_samples: bool = False,
    **options: Any,
) -> Question[Summarized]:
    """Statistics of the same draw, made piece by piece: what is not asked is not kept.

    Args:
        loaded: the version.
        condition: see `inference.drawing.drawing`, as for all further `options`.
        num_samples: the same.
        summary: some of `mean`, `sd`, `quantiles`, `covariance`; None for none.
        quantile_levels: numbers 0..1; by default `inference.summaries.DEFAULT_LEVELS`.
        quantile_values: numbers that may be kept at once for the quantiles.
        return_samples: keep the samples too.

    Raises:
        FieldError: a field has the wrong shape, type or range, or nothing is left to answer.
        CannotAnswer: the version has no `decode`, or no `score` where the log-likelihood is asked.
        TooManyValues: the quantiles would take more than `quantile_values`.
    """
    drawn = drawing(loaded, condition, num_samples, **options)
    return summary_of(drawn, summary, quantile_levels, quantile_values, return_samples=return_samples)


def summary_of(
    drawn: Drawing, summary: Any, quantile_levels: Any, quantile_values: int, *, return_samples: bool
) -> Question[Summarized]:
    """`summarize` of what was checked. Raises what it raises of these."""
    asked = wanted(summary, quantile_levels, drawn.read.each, quantile_values)
    if not (return_samples or asked or drawn.scored or drawn.keep_latent):
        raise FieldError("/return_samples", "nothing is left to answer; ask for a `summary`")
    return _piecewise(drawn, return_samples, summaries(drawn, asked))


def summaries(drawn: Drawing, asked: Wanted | None) -> Summaries | None:
    """What gathers the statistics that were asked. Raises TooManyValues."""
    if asked is None:
        return None
    return Summaries(asked, drawn.loaded.signature.data, drawn.read.count, drawn.read.each)


def samples_of(drawn: Drawing) -> Question[Samples]:
    """`sample` of what was checked."""
    taken = yield from drawn.take(0, drawn.rows)
    samples, score, latent = _shaped(drawn, taken)
    assert samples is not None
    return Samples(samples, drawn.seed, score, latent, drawn.extrapolated)


def _piecewise(drawn: Drawing, keep: bool, gathered: Summaries | None) -> Question[Summarized]:
    kept: Arrays = {}
    for start, stop in drawn.pieces():
        taken = yield from drawn.take(start, stop)
        if gathered is not None:
            gathered.add(taken["samples"])
        if not keep:
            del taken["samples"]
        for name, array in taken.items():
            if name not in kept:
                kept[name] = np.empty((drawn.rows, *array.shape[1:]), array.dtype)
            kept[name][start:stop] = array
    samples, score, latent = _shaped(drawn, kept)
    statistics = None if gathered is None else gathered.answer(drawn.leading[:-1])
    return Summarized(samples, drawn.seed, score, latent, statistics, drawn.extrapolated)


def _shaped(drawn: Drawing, rows: Arrays) -> tuple[np.ndarray | None, np.ndarray | None, Arrays | None]:
    """Samples, log-likelihood and latents with their leading axes; None where there are none."""
    leading = drawn.leading
    if len(leading) == 1:
        shaped = dict(rows)
    else:
        shaped = {name: array.reshape(*leading, *array.shape[1:]) for name, array in rows.items()}
    samples, score = shaped.pop("samples", None), shaped.pop("log_likelihood", None)
    latent = {name.removeprefix("latent."): part for name, part in shaped.items()} if shaped else None
    return samples, score, latent
