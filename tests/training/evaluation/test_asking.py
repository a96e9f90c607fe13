from __future__ import annotations

import numpy as np

from inference.condition_inference import infer_condition
from inference.encoding import encode
from inference.likelihood import log_likelihood
from inference.loaded import Loaded
from inference.work import answer
from training.datasets.base import Dataset
from training.evaluation.asking import Asked

Version = tuple[Loaded, Dataset]
PRIOR = (0.3, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1)


def test_one_pass_says_what_the_served_answers_say(mixture_version: Version) -> None:
    loaded, dataset = mixture_version
    rows = dataset.test.take(slice(0, 40))
    assert rows.condition is not None
    scores = Asked(loaded, 7, 0, PRIOR).scores(rows)
    given = answer(loaded.engine, log_likelihood(loaded, rows.x, rows.condition, draws=7))
    whole = answer(loaded.engine, log_likelihood(loaded, rows.x, draws=7, class_prior=PRIOR))
    inferred = answer(loaded.engine, infer_condition(loaded, rows.x, draws=7, class_prior=PRIOR))
    assert scores.marginal is not None and scores.log_posterior is not None and scores.sample_size is not None
    assert np.allclose(scores.conditional, given.log_likelihood, atol=1e-4)
    assert np.allclose(scores.marginal, whole.log_likelihood, atol=1e-4)
    assert np.allclose(np.exp(scores.log_posterior), inferred.model_posterior, atol=1e-4)
    assert given.effective_sample_size is not None
    assert np.allclose(scores.sample_size, given.effective_sample_size, rtol=1e-3)


def test_other_conditions_are_scored_as_served(upscale_version: Version) -> None:
    loaded, dataset = upscale_version
    rows = dataset.test.take(slice(0, 20))
    scores = Asked(loaded, 3, 0, None).scores(rows)
    served = answer(loaded.engine, log_likelihood(loaded, rows.x, rows.condition, draws=3))
    assert np.allclose(scores.conditional, served.log_likelihood, atol=1e-3)
    assert scores.marginal is None and scores.log_posterior is None


def test_a_bijection_comes_back_row_by_row_under_its_own_condition(vector_version: Version) -> None:
    loaded, dataset = vector_version
    rows = dataset.test.take(slice(0, 15))
    assert np.allclose(Asked(loaded, 1, 0, None).reconstruct(rows), rows.x, atol=1e-4)


def test_each_row_is_encoded_under_a_draw_of_its_own(mixture_version: Version) -> None:
    loaded, dataset = mixture_version
    row = dataset.test.take(slice(0, 1))
    alike = dataset.test.take(np.zeros(5, dtype=np.int64))
    assert row.condition is not None
    found = Asked(loaded, 1, 3, PRIOR).encode(alike)
    served = answer(loaded.engine, encode(loaded, row.x, row.condition, seed=3)).latent
    for name, part in served.items():
        assert np.allclose(found[name][:1], part, atol=1e-5)
    assert any(len(np.unique(part, axis=0)) == 5 for part in found.values())


def test_labels_come_back_in_the_order_of_the_rows(mixture_version: Version) -> None:
    loaded, dataset = mixture_version
    rows = dataset.test.take(slice(0, 50))
    assert np.allclose(Asked(loaded, 1, 0, PRIOR).reconstruct(rows), rows.x, atol=1e-3)


def test_samples_follow_the_seed_and_the_stream(mixture_version: Version) -> None:
    loaded, _ = mixture_version
    labels = np.arange(3)
    first = Asked(loaded, 1, 5, PRIOR).sample(labels, 4)
    assert first.shape == (3, 4, 2)
    assert np.array_equal(first, Asked(loaded, 1, 5, PRIOR).sample(labels, 4))
    assert not np.allclose(first, Asked(loaded, 1, 5, PRIOR).sample(labels, 4, stream=1))
