"""Scores of reference rows, against which a brought version's answers are read as percentiles.

Taken as the service answers /loglik, of the version as it will be served, in the trial's process.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from inference.errors import FieldError
from inference.likelihood import log_likelihood
from inference.loaded import Loaded
from inference.publishing.given import Refusal
from inference.publishing.job import Reference
from inference.validation import validation_scores
from inference.work import answer
from model_store.signature import LabelCondition, NoCondition

LEAST_ROWS = 20
_CHUNK = 2048


def score_reference(loaded: Loaded, path: Path, draws: int) -> Reference:
    """Scores of the rows of an `.npz` file: `x` (n, *data) and, for a conditional model, `condition`, n of them.

    Conditional on their conditions and, for labels, marginal too. Versions with noise are scored with `draws` draws.

    Raises:
        Refusal: not such a file; shapes, types or ranges that are not the signature's; hardly any finite score.
        EngineError: the score graph fails on these rows.
    """
    x, condition = _read(path, conditional=not isinstance(loaded.signature.condition, NoCondition))
    count = 1 if loaded.signature.exact else draws
    conditional = _scores(loaded, path, x, condition, count)
    finite = int(np.isfinite(conditional).sum())
    if finite < LEAST_ROWS:
        raise Refusal(f"{path}: {finite} of {len(x)} rows have a finite log-likelihood, at least {LEAST_ROWS} must")
    labels = isinstance(loaded.signature.condition, LabelCondition)
    marginal = _scores(loaded, path, x, None, count) if labels else None
    return Reference(
        digest=hashlib.sha256(path.read_bytes()).hexdigest(),
        rows=len(x),
        finite=finite,
        nll=-float(conditional[np.isfinite(conditional)].mean()),
        scores=validation_scores(conditional, marginal, count),
    )


def _scores(loaded: Loaded, path: Path, x: np.ndarray, condition: Any, draws: int) -> np.ndarray:
    try:
        question = log_likelihood(loaded, x, condition, draws=draws)
    except FieldError as error:
        raise Refusal(f"{path}: {error.pointer.removeprefix('/')}: {error.message}") from None
    return answer(loaded.engine, question, _CHUNK).log_likelihood


def _read(path: Path, *, conditional: bool) -> tuple[np.ndarray, Any]:
    wanted = {"x", "condition"} if conditional else {"x"}
    try:
        with np.load(path, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, EOFError, BadZipFile, AttributeError, TypeError) as error:
        raise Refusal(f"{path}: expected an .npz file of plain arrays: {error}") from None
    if set(found) != wanted:
        raise Refusal(f"{path}: expected the arrays {sorted(wanted)}, got {sorted(found)[:10]}")
    condition = found.get("condition")
    if condition is not None and condition.shape[:1] != found["x"].shape[:1]:
        raise Refusal(f"{path}: expected as many conditions as rows of x, got {condition.shape} and {found['x'].shape}")
    if condition is not None and condition.dtype.kind == "U":
        return found["x"], condition.tolist()
    return found["x"], condition
