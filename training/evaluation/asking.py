"""Questions that an evaluation puts to a version: one pass over the rows for everything that scores can tell."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from inference import estimators
from inference.condition_inference import InferredConditions, InferredLabels, infer_condition
from inference.conditions import Conditions
from inference.embedding import embedded
from inference.encoding import latents
from inference.engine import Arrays
from inference.groups import DrawsWork, ScoringNoise
from inference.likelihood import score
from inference.loaded import Loaded
from inference.sampling import sample
from inference.work import Question, answer
from training.datasets.base import Split

T = TypeVar("T")
_MAX_ROWS = 2048


@dataclass(frozen=True)
class Scores:
    """Per row, in nats: `conditional` log p(x | c); `sample_size` of its weights, None if exact.

    For label models also `marginal` log p(x) and `log_posterior` log p(k | x), (rows, classes).
    """

    conditional: np.ndarray
    sample_size: np.ndarray | None
    marginal: np.ndarray | None = None
    log_posterior: np.ndarray | None = None


class Asked:
    """A version with the draws, the seed and the class prior with which it is asked."""

    def __init__(self, loaded: Loaded, draws: int, seed: int, class_prior: tuple[float, ...] | None) -> None:
        self.loaded = loaded
        self.signature = loaded.signature
        self.draws = 1 if loaded.signature.exact else draws
        self.seed = seed
        self.prior = None if class_prior is None else np.array(class_prior)

    def scores(self, split: Split, draws: int | None = None, seed: int = 0) -> Scores:
        """Score every row; with the noise of seed 0, as the service does, unless told."""
        count = self.draws if draws is None or self.signature.exact else draws
        exact = self.signature.exact
        if self.prior is None:
            found = self._answer(score(self.loaded, split.x, _given(split), None, count, seed))
            return Scores(found.log_mean, None if exact else found.sample_size)
        assert split.condition is not None
        by_class, size = self._answer(_class_scores(self.loaded, split, count, seed))
        joint = by_class + estimators.log_prior(self.prior)
        marginal = estimators.log_sum_exp(joint)
        chosen = by_class[np.arange(len(split)), split.condition]
        return Scores(chosen, None if exact else size, marginal, joint - marginal[:, None])

    def sample(self, conditions: np.ndarray | None, count: int, *, shared: bool = False, stream: int = 0) -> np.ndarray:
        """(conditions, count, *data) at temperature 1; (1, count, *data) without a condition."""
        seed = self.seed + stream
        if conditions is None:
            return self._answer(sample(self.loaded, None, count, seed=seed)).samples[None]
        return self._answer(
            sample(self.loaded, num_samples=count, conditions=conditions, seed=seed, shared_latent=shared)
        ).samples

    def encode(self, split: Split) -> Arrays:
        """The latent parts of every row, each under a draw of its own: rows that share their padding are no sample of
        the latent's law."""
        noise = ScoringNoise(self.signature.noise, self.seed, len(split))
        return self._answer(latents(self.loaded, split.x, _given(split), noise))

    def reconstruct(self, split: Split, drawn: Container[str] = ()) -> np.ndarray:
        """decode(encode(x)): rows of one condition go together, in as many questions as there are conditions.

        Latent parts that are named in `drawn` are drawn instead of read off x.
        """
        latent = self.encode(split)
        out = np.empty_like(split.x)
        for rows, condition in _by_condition(split):
            given = {name: part[rows] for name, part in latent.items() if name not in drawn}
            out[rows] = self._answer(sample(self.loaded, condition, latent=given)).samples
        return out

    def infer(self, x: np.ndarray) -> InferredLabels | InferredConditions:
        """The inferred condition of every row, as the service answers it."""
        return self._answer(infer_condition(self.loaded, x, draws=self.draws))

    def _answer(self, question: Question[T]) -> T:
        return answer(self.loaded.engine, question, max_rows=_MAX_ROWS)


def _given(split: Split) -> Conditions:
    return Conditions(split.condition, single=split.condition is None)


def _class_scores(loaded: Loaded, split: Split, draws: int, seed: int) -> Question[tuple[np.ndarray, np.ndarray]]:
    """log p(x | k) of all classes, (rows, classes), and the effective sample size under the row's own class."""
    assert split.condition is not None
    labels, classes = split.condition, len(loaded.classes)
    by_class, size = np.empty((len(split), classes)), np.empty(len(split))

    def reduce(first: int, groups: Arrays) -> None:
        weights = groups["log_weight"].astype(np.float64).transpose(0, 2, 1)
        rows = slice(first, first + len(weights))
        by_class[rows] = estimators.log_mean_exp(weights)
        size[rows] = estimators.effective_sample_size(weights[np.arange(len(weights)), labels[rows]])

    given = yield from embedded(loaded, split.x)
    yield DrawsWork("score", given, ScoringNoise(loaded.signature.noise, seed, draws), None, draws, reduce)
    return by_class, size


def _by_condition(split: Split) -> Iterator[tuple[np.ndarray, Any]]:
    """Row indices that share a condition, and that condition as one."""
    if split.condition is None:
        yield np.arange(len(split)), None
    elif split.condition.ndim == 1:
        for label in np.unique(split.condition):
            yield np.flatnonzero(split.condition == label), int(label)
    else:
        for row in range(len(split)):
            yield np.array([row]), split.condition[row]
