"""Posteriors of the condition against closed forms, and what cannot be answered."""

from __future__ import annotations

import numpy as np
import pytest

from inference import CannotAnswer, FieldError, answer, infer_condition
from inference.condition_inference import _blurred
from inference.loaded import Loaded
from tests.inference import handmade
from tests.inference.handmade import MEANS, NOISE, SCALES, SHIFT, VECTOR, normal_log_density

VARIANCE = SHIFT**2 + NOISE**2


def ask(loaded: Loaded, *args: object, **options: object):
    return answer(loaded.engine, infer_condition(loaded, *args, **options))


def test_labels_by_bayes(labels: Loaded) -> None:
    x = np.float32([[-1.0, 0.0], [0.5, 0.5], [2.5, -1.0]])
    found = ask(labels, x)
    by_class = normal_log_density(x[:, None].astype(float), MEANS.astype(float), SCALES.astype(float) ** 2).sum(axis=2)
    wanted = np.exp(by_class) / np.exp(by_class).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found.model_posterior, wanted, rtol=1e-5)
    np.testing.assert_array_equal(found.probabilities, found.model_posterior)
    assert (found.calibrated, found.condition) == (False, None)
    np.testing.assert_array_equal(found.index, wanted.argmax(axis=1))
    assert found.label == tuple(labels.classes[k] for k in wanted.argmax(axis=1))
    prior = np.array([0.0, 0.2, 0.8])
    weighted = wanted * prior / (wanted * prior).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(ask(labels, x, class_prior=prior).model_posterior, weighted, rtol=1e-5)


def test_padded_labels(padded: Loaded) -> None:
    """The draws are averaged before Bayes' rule: the posterior of the integrated likelihoods."""
    x = np.float32([[0.3], [1.5]])
    found = ask(padded, x, draws=20_000)
    joint = np.exp(normal_log_density(x.astype(float), MEANS[:, 0].astype(float), VARIANCE)) * [0.2, 0.5, 0.3]
    wanted = joint / joint.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found.model_posterior, wanted, atol=0.01)
    assert found.calibrated
    tempered = np.sqrt(found.model_posterior)
    np.testing.assert_allclose(found.probabilities, tempered / tempered.sum(axis=1, keepdims=True), rtol=1e-9)
    centre = x[:, 0] * (1 + SHIFT / VARIANCE)
    np.testing.assert_allclose(found.condition, centre[:, None] * np.array([1, 0, -1]), atol=0.03)


def test_rows_without_mass(labels: Loaded) -> None:
    found = ask(labels, [[1e30, 0.0], [-1.0, 0.5]])
    assert found.label == (None, "left")
    np.testing.assert_array_equal(found.index, [-1, 0])
    assert np.isnan(found.model_posterior[0]).all()


def test_vectors_read_off() -> None:
    loaded = handmade.read_off_vector(relaxation=0.25).load()
    x = np.float32([[0.3], [-1.0]])
    found = ask(loaded, x, draws=20_000)
    np.testing.assert_allclose(found.condition, x * (1 + SHIFT / VARIANCE), atol=0.03)
    np.testing.assert_allclose(found.std, np.sqrt(NOISE**2 / VARIANCE + 0.25**2), rtol=0.03)
    assert (found.effective_sample_size > 1000).all()
    assert ask(loaded, x, draws=1).effective_sample_size.tolist() == [1, 1]


def test_vectors_by_the_prior_sample(coupled: Loaded) -> None:
    """c ~ N(0, I), x = A c + 0.5 e: mean A^T (A A^T + 0.25)^-1 x, covariance I - A^T (A A^T + 0.25)^-1 A."""
    x = np.float32([[0.3], [1.0]])
    found = ask(coupled, x)
    gain = VECTOR.T.astype(float) / ((VECTOR @ VECTOR.T).item() + 0.25)
    std = np.sqrt(1 - np.diag(gain @ VECTOR))
    size = found.effective_sample_size[:, None]
    assert (np.abs(found.condition - x @ gain.T) < 4 * std / np.sqrt(size)).all()
    np.testing.assert_allclose(found.std, np.tile(std, (2, 1)), rtol=0.08)
    assert ((size > 500) & (size < 4096)).all()
    assert found.condition.shape == (2, 2)


def test_a_prior_sample_that_does_not_cover_x(coupled: Loaded) -> None:
    with pytest.raises(CannotAnswer, match=r"do not cover 1 of 2 rows.*at row 1"):
        ask(coupled, [[0.0], [9.0]])


@pytest.mark.parametrize("far", [1e6, 1e10, 1e17])
def test_a_prior_sample_is_not_weighed_by_rounding(coupled: Loaded, far: float) -> None:
    with pytest.raises(CannotAnswer, match=r"row 1 lies so far off"):
        ask(coupled, [[0.0], [far]])


def test_an_estimate_far_off_has_no_sample_size() -> None:
    found = ask(handmade.read_off_vector().load(), [[0.0], [1e8]], draws=50)
    np.testing.assert_array_equal(np.isnan(found.effective_sample_size), [False, True])


@pytest.mark.parametrize(
    ("version", "x", "reason"),
    [
        (handmade.unconditional, [[0.0]], "no condition to infer"),
        (lambda: handmade.coupled_vector(None), [[0.0]], "no prior sample"),
        (handmade.image_condition, np.zeros((1, 2, 2)), "cannot be enumerated"),
    ],
)
def test_models_that_cannot(version, x, reason) -> None:
    with pytest.raises(CannotAnswer, match=reason):
        infer_condition(version().load(), x)


def test_refused(labels: Loaded, coupled: Loaded) -> None:
    for loaded, x, options, pointer in (
        (labels, [[1.0]], {}, "/x/0"),
        (labels, [[1.0, 2.0]], {"draws": -1}, "/draws"),
        (labels, [[1.0, 2.0]], {"seed": 0.5}, "/seed"),
        (labels, [[1.0, 2.0]], {"class_prior": [1.0]}, "/class_prior"),
        (coupled, [[1.0]], {"class_prior": [1.0]}, "/class_prior"),
    ):
        with pytest.raises(FieldError) as error:
            infer_condition(loaded, x, **options)
        assert error.value.pointer == pointer


def test_classes_that_rounding_blurs_are_not_told_apart() -> None:
    scores = np.array([[-9e18, -9e18], [-1e6, -1.1e6], [-1.0, -1.0]])
    assert _blurred(scores).tolist() == [True, False, False]
