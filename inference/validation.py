"""The scores that a version stores of rows it was not fitted to: percentiles and p-values are read against them."""

from __future__ import annotations

import numpy as np

from model_store.manifest import ValidationScores

STORED = 2000


def validation_scores(conditional: np.ndarray, marginal: np.ndarray | None, draws: int) -> ValidationScores:
    """The sorted log-likelihoods of at most 2,000 rows, to four decimals; infinite ones are left out."""
    return ValidationScores(draws=draws, conditional=_stored(conditional), marginal=_stored(marginal))


def _stored(values: np.ndarray | None) -> tuple[float, ...]:
    if values is None:
        return ()
    finite = values[:STORED][np.isfinite(values[:STORED])]
    return tuple(round(float(value), 4) for value in np.sort(finite))
