"""Which condition does this x have? Read off the flow, or weighed by Bayes over classes or a stored prior sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from inference import estimators, fields
from inference.conditions import Conditions
from inference.embedding import embedded
from inference.engine import Arrays
from inference.errors import CannotAnswer, FieldError
from inference.groups import DrawsWork, ScoringNoise
from inference.likelihood import prior_or_default, require, scoring_draws
from inference.loaded import Loaded
from inference.work import Question
from model_store.signature import LabelCondition, NoCondition, VectorCondition


@dataclass(frozen=True)
class InferredLabels:
    """Labels of n rows.

    Attributes:
        label: class names, None where no class has any mass.
        index: int64 (n,), -1 where no class has any mass.
        probabilities: float64 (n, classes), the posterior after the version's calibration; rows without mass are NaN.
        model_posterior: float64 (n, classes), the model's Bayes posterior.
        calibrated: whether the version stores a calibration; without one the two are equal.
        condition: float32 (n, classes), the flow's forward output, where the family has one.
        draws: noise draws per row.
        seed: of the scoring noise.
    """

    label: tuple[str | None, ...]
    index: np.ndarray
    probabilities: np.ndarray
    model_posterior: np.ndarray
    calibrated: bool
    condition: np.ndarray | None
    draws: int
    seed: int


@dataclass(frozen=True)
class InferredConditions:
    """Posterior mean and standard deviation of vector or image conditions of n rows.

    Attributes:
        condition: float32 (n, *condition).
        std: float32 (n, *condition).
        effective_sample_size: float64 (n,); None where the flow gives its estimate exactly.
        draws: noise draws per row.
        seed: of the scoring noise.
    """

    condition: np.ndarray
    std: np.ndarray
    effective_sample_size: np.ndarray | None
    draws: int
    seed: int


def infer_condition(
    loaded: Loaded, x: Any, *, draws: Any = None, seed: Any = 0, class_prior: Any = None
) -> Question[InferredLabels | InferredConditions]:
    """The posterior of the condition given x.

    Labels: `p(k | x) = softmax_k(log p(k) + log p(x | k))`. Conditions that the flow reads off: the mean of its
    estimates over noise draws, weighted by their likelihoods. Vectors of coupling-conditioned models: the mean of the
    version's prior sample, weighted by `p(x | c)`. Arguments are checked here, before the question starts.

    Raises:
        FieldError: a field has the wrong shape, type or range.
        CannotAnswer: the version cannot infer its condition, or not for these x (raised by the question at its end).
    """
    signature = loaded.signature
    spec = signature.condition
    if isinstance(spec, NoCondition):
        raise CannotAnswer("this model has no condition to infer", "/model")
    data = fields.rows(x, signature.data)
    count, first = scoring_draws(loaded, draws), fields.seed(seed)
    if isinstance(spec, LabelCondition):
        require(loaded, "score")
        return _labels(loaded, data, prior_or_default(loaded, class_prior), count, first)
    if class_prior is not None:
        raise FieldError("/class_prior", "only label models use class priors")
    if "infer" in signature.operations:
        return _read_off(loaded, data, count, first)
    if isinstance(spec, VectorCondition) and loaded.prior_sample is not None:
        require(loaded, "score")
        return _weigh_prior(loaded, data, loaded.prior_sample, count, first)
    lacking = (
        "the version stores no prior sample" if isinstance(spec, VectorCondition) else "images cannot be enumerated"
    )
    reason = f"this {loaded.manifest.family} model takes its condition and cannot give it back: {lacking}"
    raise CannotAnswer(reason, "/model")


def _labels(
    loaded: Loaded, x: np.ndarray, prior: np.ndarray, draws: int, seed: int
) -> Question[InferredLabels | InferredConditions]:
    posterior = np.empty((len(x), len(prior)))

    def reduce(first: int, groups: Arrays) -> None:
        by_class = estimators.log_mean_exp(groups["log_weight"].transpose(0, 2, 1))
        rows = estimators.label_posterior(by_class, prior)
        rows[_blurred(by_class)] = np.nan
        posterior[first : first + len(by_class)] = rows

    noise = ScoringNoise(loaded.signature.noise, seed, draws)
    given = yield from embedded(loaded, x)
    yield DrawsWork("score", given, noise, None, draws, reduce)
    forward = None
    if "infer" in loaded.signature.operations:
        forward, _, _ = yield from _estimates(loaded, given, len(x), draws, seed)
    calibration = loaded.manifest.calibration
    probabilities = posterior if calibration is None else estimators.calibrated(posterior, calibration.temperature)
    known = ~np.isnan(posterior).any(axis=1)
    index = np.where(known, np.argmax(posterior, axis=1), -1)
    return InferredLabels(
        label=tuple(loaded.classes[i] if i >= 0 else None for i in index),
        index=index,
        probabilities=probabilities,
        model_posterior=posterior,
        calibrated=calibration is not None,
        condition=forward,
        draws=draws,
        seed=seed,
    )


def _blurred(by_class: np.ndarray) -> np.ndarray:
    """Rows so far off that float32 scores no longer tell the two best classes apart: (rows,) of bool.

    Their posterior would be what rounding left of it, so it is not answered (NaN).
    """
    best = np.sort(by_class, axis=1)[:, -2:]
    resolution = np.abs(best[:, 1]) * np.finfo(np.float32).eps
    with np.errstate(invalid="ignore"):
        blurred: np.ndarray = (resolution > 1) & (best[:, 1] - best[:, 0] <= 2 * resolution)
    return blurred


def _read_off(loaded: Loaded, x: np.ndarray, draws: int, seed: int) -> Question[InferredLabels | InferredConditions]:
    given = yield from embedded(loaded, x)
    mean, variance, size = yield from _estimates(loaded, given, len(x), draws, seed)
    spec = loaded.signature.condition
    if isinstance(spec, VectorCondition) and spec.relaxation:
        variance += np.square(np.array(spec.relaxation)).reshape(spec.array.shape)
    std = np.sqrt(variance).astype(np.float32)
    return InferredConditions(mean, std, None if loaded.signature.exact else size, draws, seed)


def _estimates(
    loaded: Loaded, given: Arrays, count: int, draws: int, seed: int
) -> Question[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Mean (float32) and variance over draws of the flow's estimates, self-normalised; effective sample size."""
    spec = loaded.signature.condition
    shape = (len(loaded.classes),) if isinstance(spec, LabelCondition) else spec.array.shape  # type: ignore[union-attr]
    mean, variance = np.empty((count, *shape), dtype=np.float32), np.empty((count, *shape))
    size = np.empty(count)

    def reduce(first: int, groups: Arrays) -> None:
        log_weights = groups["log_weight"]
        rows = slice(first, first + len(log_weights))
        estimates = groups["estimate"].reshape(*log_weights.shape, -1).astype(np.float64).transpose(0, 2, 1)
        centre, spread = _weighted_moments(estimators.normalized(log_weights), estimates)
        mean[rows], variance[rows] = centre.reshape(-1, *shape), spread.reshape(-1, *shape)
        size[rows] = _sample_size(log_weights)

    yield DrawsWork("infer", given, ScoringNoise(loaded.signature.noise, seed, draws), None, draws, reduce)
    return mean, variance, size


def _sample_size(log_weights: np.ndarray) -> np.ndarray:
    """The effective sample size over the last axis; NaN where rounding made the weights equal."""
    known = ~estimators.blurred(log_weights.max(axis=-1))
    return np.where(known, estimators.effective_sample_size(log_weights), np.nan)


def _weigh_prior(
    loaded: Loaded, x: np.ndarray, candidates: np.ndarray, draws: int, seed: int
) -> Question[InferredLabels | InferredConditions]:
    mean = np.empty(candidates.shape[1:], dtype=np.float32)[None].repeat(len(x), axis=0)
    std, size = np.empty_like(mean), np.empty(len(x))
    columns = candidates.reshape(len(candidates), -1).T.astype(np.float64)[None]

    def reduce(first: int, groups: Arrays) -> None:
        log_weights = groups["log_weight"].reshape(-1, len(candidates), draws)
        scores = estimators.log_mean_exp(log_weights)
        rows = slice(first, first + len(scores))
        centre, spread = _weighted_moments(estimators.normalized(scores), columns)
        mean[rows], std[rows] = centre.reshape(mean[rows].shape), np.sqrt(spread).reshape(mean[rows].shape)
        size[rows] = _sample_size(scores)

    noise = ScoringNoise(loaded.signature.noise, seed, draws)
    given = yield from embedded(loaded, x)
    yield DrawsWork("score", given, noise, Conditions(candidates, single=False), draws, reduce, candidates=True)
    poor = np.flatnonzero(~(size >= estimators.RELIABLE_SAMPLE_SIZE))
    if len(poor):
        row = poor[0]
        found = f"effective sample size {size[row]:.3g} at row {row}, {estimators.RELIABLE_SAMPLE_SIZE:g} is needed"
        if np.isnan(size[row]):
            found = f"row {row} lies so far off that single precision cannot tell them apart"
        raise CannotAnswer(
            f"the {len(candidates)} conditions of the stored prior sample do not cover {len(poor)} of {len(x)} rows: "
            f"{found}",
            "/x",
        )
    return InferredConditions(mean, std, size, draws, seed)


def _weighted_moments(shares: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance over the last axis: shares (n, K), values (n or 1, M, K) -> (n, M) twice."""
    weights = shares[:, None, :]
    mean = (weights * values).sum(axis=-1)
    return mean, (weights * np.square(values - mean[..., None])).sum(axis=-1)
