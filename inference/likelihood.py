"""How likely is x? Given a condition, or on the whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from inference import estimators, fields
from inference.conditions import Conditions, conditions, describe
from inference.embedding import embedded
from inference.engine import Arrays
from inference.errors import CannotAnswer, FieldError
from inference.extrapolation import extrapolated_rows
from inference.groups import DrawsWork, ScoringNoise
from inference.loaded import Loaded
from inference.work import Question
from model_store.signature import LabelCondition, NoCondition

Estimator = Literal["exact", "importance", "bound"]


@dataclass(frozen=True)
class LogLikelihood:
    """Per row, float64 unless said, in nats and data units.

    Attributes:
        log_likelihood: (n,); -inf where the model has no mass.
        bits_per_dim: `-ll / (D log 2)` for integer data, else None.
        percentile: share of the validation scores that are lower, in [0, 1]; None where the version stores none taken
            with the same estimator and draws.
        p_value: two-sided conformal p-value against the same scores, or None.
        space: whether the density is of the data or of an auto-encoder's latent.
        estimator: `exact`; `importance` (several draws: consistent); `bound` (one draw: its mean is a lower bound).
        std_error: of `log_likelihood` by the delta method; None if exact or from one draw.
        effective_sample_size: of the importance weights; None if exact. NaN, as is `std_error`, where the score is so
            large that float32 cannot tell the draws apart.
        unreliable: bool (n,), effective sample size below 10 or NaN; None if exact.
        extrapolated: bool (n,), the row's condition lies outside what the version was fitted to
            (`inference.extrapolation`); None where the version does not know.
        draws: noise draws per row; 1 if exact.
        seed: of the scoring noise.
    """

    log_likelihood: np.ndarray
    bits_per_dim: np.ndarray | None
    percentile: np.ndarray | None
    p_value: np.ndarray | None
    space: Literal["data", "latent"]
    estimator: Estimator
    std_error: np.ndarray | None
    effective_sample_size: np.ndarray | None
    unreliable: np.ndarray | None
    extrapolated: np.ndarray | None
    draws: int
    seed: int


def log_likelihood(
    loaded: Loaded,
    x: Any,
    condition: Any = None,
    *,
    draws: Any = None,
    seed: Any = 0,
    class_prior: Any = None,
) -> Question[LogLikelihood]:
    """`log p(x | c)`, or for a label model without a condition `log p(x) = log sum_k p(k) p(x | k)`.

    Arguments are checked here, before the question starts.

    Args:
        loaded: the version.
        x: rows (n, *data), or one row.
        condition: one, broadcast, or n of them.
        draws: noise draws per row, 1 or more; by default those of the validation scores. Exact models need none.
        seed: of the scoring noise.
        class_prior: p(k) of the marginal, instead of the version's.

    Raises:
        FieldError: a field has the wrong shape, type or range.
        CannotAnswer: the version has no score.
    """
    spec = loaded.signature.condition
    require(loaded, "score")
    data = fields.rows(x, loaded.signature.data)
    count, first = scoring_draws(loaded, draws), fields.seed(seed)
    prior: np.ndarray | None = None
    if isinstance(spec, LabelCondition) and condition is None:
        prior = prior_or_default(loaded, class_prior)
        read = Conditions(None, single=True)
    elif condition is None and not isinstance(spec, NoCondition):
        raise FieldError("/condition", f"log p(x) without a condition is not to be had here; give {describe(spec)}")
    else:
        read = conditions(spec, condition)
        if class_prior is not None:
            raise FieldError("/class_prior", "only label models asked without a condition use class priors")
        if read.count not in (1, len(data)):
            raise FieldError("/condition", f"expected one condition or {len(data)}, one per row, got {read.count}")
    comparable = class_prior is None
    return _log_likelihood(loaded, data, read, prior, count, first, comparable)


def _log_likelihood(
    loaded: Loaded, x: np.ndarray, read: Conditions, prior: np.ndarray | None, draws: int, seed: int, comparable: bool
) -> Question[LogLikelihood]:
    collected = yield from score(loaded, x, read, prior, draws, seed)
    signature, value = loaded.signature, collected.log_mean
    stored = loaded.manifest.validation_scores
    scores = np.array(stored.conditional if prior is None else stored.marginal)
    known = comparable and len(scores) > 0 and (signature.exact or stored.draws == draws)
    integer = signature.data.is_integer and signature.space == "data"
    blurred = False if signature.exact else estimators.blurred(value)
    size = None if signature.exact else np.where(blurred, np.nan, collected.sample_size)
    return LogLikelihood(
        log_likelihood=value,
        bits_per_dim=estimators.bits_per_dim(value, signature.data.size) if integer else None,
        percentile=estimators.percentile(value, scores) if known else None,
        p_value=estimators.p_value(value, scores) if known else None,
        space=signature.space,
        estimator="exact" if signature.exact else "importance" if draws > 1 else "bound",
        std_error=np.where(blurred, np.nan, collected.error) if draws > 1 else None,
        effective_sample_size=size,
        unreliable=None if size is None else ~(size >= estimators.RELIABLE_SAMPLE_SIZE),
        extrapolated=extrapolated_rows(signature.condition, read, len(x)),
        draws=draws,
        seed=seed,
    )


@dataclass(frozen=True)
class Scores:
    """Per row: log of the mean weight, its standard error, effective sample size; each (n,) float64."""

    log_mean: np.ndarray
    error: np.ndarray
    sample_size: np.ndarray


def score(
    loaded: Loaded, x: np.ndarray, read: Conditions, prior: np.ndarray | None, draws: int, seed: int
) -> Question[Scores]:
    """Score checked rows: under their conditions, or with `prior` under the mixture of all classes."""
    signature = loaded.signature
    out = Scores(*(np.empty(len(x)) for _ in range(3)))
    labels = isinstance(signature.condition, LabelCondition)

    def reduce(first: int, groups: Arrays) -> None:
        weights = groups["log_weight"].astype(np.float64)
        rows = slice(first, first + len(weights))
        if prior is not None:
            weights = estimators.log_sum_exp(weights + estimators.log_prior(prior))
        elif labels:
            chosen = read.of_run(first, first + len(weights))["condition"]
            weights = np.take_along_axis(weights, chosen[:, None, None], axis=2)[:, :, 0]
        out.log_mean[rows] = estimators.log_mean_exp(weights)
        out.sample_size[rows] = estimators.effective_sample_size(weights)
        error = estimators.standard_error(weights)
        out.error[rows] = np.nan if error is None else error

    noise = ScoringNoise(signature.noise, seed, draws)
    given = yield from embedded(loaded, x)
    yield DrawsWork("score", given, noise, None if labels else read, draws, reduce)
    return out


def scoring_draws(loaded: Loaded, draws: Any) -> int:
    """The checked number of draws, or the version's own; 1 for exact models."""
    count = loaded.default_draws if draws is None else fields.whole(draws, "/draws", 1)
    return 1 if loaded.signature.exact else count


def prior_or_default(loaded: Loaded, class_prior: Any) -> np.ndarray:
    """The checked class prior, or the version's own."""
    return loaded.class_prior if class_prior is None else fields.class_prior(class_prior, len(loaded.classes))


def require(loaded: Loaded, operation: str, pointer: str = "/model") -> None:
    """Raise CannotAnswer where the version lacks an operation; `pointer` is of the field that asks for it."""
    if operation not in loaded.signature.operations:
        raise CannotAnswer(f"{loaded.name} version {loaded.version} has no `{operation}`", pointer)
