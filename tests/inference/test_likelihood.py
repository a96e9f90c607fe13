"""Log-likelihoods against closed forms, their estimators' honesty, and every refusal."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from inference import CannotAnswer, FieldError, answer, estimators, log_likelihood
from inference.loaded import Loaded
from model_store.manifest import ValidationScores
from tests.inference import handmade
from tests.inference.handmade import LEVELS, MEANS, NOISE, SCALES, SHIFT, normal_log_density

X = np.float32([[0.25, -1.0], [-3.0, 2.0], [1.5, 0.0]])
VARIANCE = SHIFT**2 + NOISE**2


def ask(loaded: Loaded, *args: object, **options: object):
    return answer(loaded.engine, log_likelihood(loaded, *args, **options))


def truth(x: np.ndarray) -> np.ndarray:
    """log p(x | k), (rows, classes)."""
    return normal_log_density(x[:, None].astype(float), MEANS.astype(float), SCALES.astype(float) ** 2).sum(axis=2)


def test_exact_conditional(labels: Loaded) -> None:
    found = ask(labels, X, ["left", 2, 1])
    np.testing.assert_allclose(found.log_likelihood, truth(X)[[0, 1, 2], [0, 2, 1]], rtol=1e-5)
    assert (found.estimator, found.space, found.draws) == ("exact", "data", 1)
    for absent in ("std_error", "effective_sample_size", "unreliable", "bits_per_dim", "percentile", "p_value"):
        assert getattr(found, absent) is None
    np.testing.assert_array_equal(ask(labels, X, "left").log_likelihood, ask(labels, X, [0, 0, 0]).log_likelihood)
    np.testing.assert_array_equal(ask(labels, X[0], "left").log_likelihood, found.log_likelihood[:1])
    np.testing.assert_array_equal(ask(labels, X, 0, draws=50).log_likelihood, ask(labels, X, 0).log_likelihood)


def test_exact_marginal(labels: Loaded) -> None:
    uniform = np.log(np.exp(truth(X)).mean(axis=1))
    np.testing.assert_allclose(ask(labels, X).log_likelihood, uniform, rtol=1e-5)
    prior = np.array([0.7, 0.3, 0.0])
    weighted = np.log(np.exp(truth(X)) @ prior)
    np.testing.assert_allclose(ask(labels, X, class_prior=prior).log_likelihood, weighted, rtol=1e-5)


def test_importance_conditional(padded: Loaded) -> None:
    x, draws = np.float32([[-1.0], [0.0], [2.5]]), 20_000
    found = ask(padded, x, [0, 1, 2], draws=draws)
    wanted = normal_log_density(x[:, 0].astype(float), MEANS[:, 0].astype(float), VARIANCE)
    assert (np.abs(found.log_likelihood - wanted) < 4 * found.std_error).all()
    assert (found.std_error < 0.02).all()
    assert found.estimator == "importance"
    assert not found.unreliable.any()
    assert ((found.effective_sample_size > 1000) & (found.effective_sample_size < draws)).all()


def test_importance_marginal(padded: Loaded) -> None:
    x = np.float32([[0.4], [1.0]])
    found = ask(padded, x, draws=20_000)
    wanted = np.log(np.exp(normal_log_density(x.astype(float), MEANS[:, 0].astype(float), VARIANCE)) @ [0.2, 0.5, 0.3])
    assert (np.abs(found.log_likelihood - wanted) < 4 * found.std_error).all()


def test_unreliable_far_out(padded: Loaded) -> None:
    found = ask(padded, [[0.0], [40.0]], 0)
    np.testing.assert_array_equal(found.unreliable, [False, True])
    assert found.effective_sample_size[1] < 10


@pytest.mark.parametrize("far", [1e6, 1e10, -1e15])
def test_unreliable_where_rounding_makes_the_weights_equal(padded: Loaded, far: float) -> None:
    for condition in (0, None):
        found = ask(padded, [[0.0], [far]], condition, draws=200)
        np.testing.assert_array_equal(found.unreliable, [False, True])
        np.testing.assert_array_equal(np.isnan(found.effective_sample_size), [False, True])
        np.testing.assert_array_equal(np.isnan(found.std_error), [False, True])
        assert np.isfinite(found.log_likelihood).all()


def test_bound(padded: Loaded) -> None:
    found = ask(padded, [[0.0], [1.0]], 0, draws=1)
    assert found.estimator == "bound"
    assert found.std_error is None
    np.testing.assert_array_equal(found.effective_sample_size, [1, 1])
    assert found.unreliable.all()
    many = [ask(padded, [[0.0]], 0, draws=1, seed=seed).log_likelihood[0] for seed in range(200)]
    assert np.mean(many) < normal_log_density(np.zeros(1), float(MEANS[0, 0]), VARIANCE)[0]


def test_default_draws_and_seeds(padded: Loaded) -> None:
    default = ask(padded, [[0.5]], 1)
    assert (default.draws, default.seed) == (64, 0)
    np.testing.assert_array_equal(default.log_likelihood, ask(padded, [[0.5]], 1, draws=64, seed=0).log_likelihood)
    assert default.log_likelihood != ask(padded, [[0.5]], 1, seed=1).log_likelihood


def test_a_row_does_not_depend_on_its_place(padded: Loaded) -> None:
    rows = np.linspace(-2, 2, 9, dtype=np.float32)[:, None]
    together = ask(padded, rows, 1).log_likelihood
    alone = [ask(padded, row, 1).log_likelihood[0] for row in rows[::-1]][::-1]
    np.testing.assert_allclose(together, alone, rtol=1e-6)


def test_percentile_and_p_value(padded: Loaded) -> None:
    conditional = np.array([-9.0, -3.0, -2.0, -1.5])
    found = ask(padded, [[0.0], [5.0]], 1)
    np.testing.assert_array_equal(found.percentile, estimators.percentile(found.log_likelihood, conditional))
    np.testing.assert_array_equal(found.p_value, estimators.p_value(found.log_likelihood, conditional))
    marginal = ask(padded, [[0.0]])
    np.testing.assert_array_equal(
        marginal.percentile, estimators.percentile(marginal.log_likelihood, np.array([-6.0, -2.0]))
    )
    for other in (ask(padded, [[0.0]], 1, draws=32), ask(padded, [[0.0]], class_prior=[0.2, 0.5, 0.3])):
        assert other.percentile is None and other.p_value is None


def test_exact_scores_compare_at_any_draws() -> None:
    loaded = handmade.unconditional().load(validation_scores=ValidationScores(draws=1, conditional=(-3.0, -1.0)))
    assert ask(loaded, [[1.0]], draws=7).percentile == [0.5]


def test_bits_per_dim(images: Loaded) -> None:
    x = np.uint8([[[[0, 15], [7, 7]]]])
    found = ask(images, x, draws=20_000)
    level = x.astype(float)
    mass = np.log(((level + 1) ** 2 - level**2) / LEVELS**2).sum()
    assert abs(found.log_likelihood[0] - mass) < 4 * found.std_error[0]
    np.testing.assert_allclose(found.bits_per_dim, -found.log_likelihood / (4 * np.log(2)))


def test_latent_space_has_no_bits() -> None:
    found = ask(handmade.unconditional(space="latent").load(), [[1.0]])
    assert (found.space, found.bits_per_dim) == ("latent", None)


def test_rows_without_mass(labels: Loaded, padded: Loaded) -> None:
    """Squares overflow float32: the log-density is -inf, not NaN, with or without draws."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ask(labels, [[1e30, 0.0]], 0).log_likelihood == [-np.inf]
        assert ask(labels, [[1e30, 0.0]]).log_likelihood == [-np.inf]
        found = ask(padded, [[1e30], [0.0]], 0)
    assert found.log_likelihood[0] == -np.inf
    assert found.effective_sample_size[0] == 0
    np.testing.assert_array_equal(found.unreliable, [True, False])
    assert (found.percentile[0], found.p_value[0]) == (0.0, 2 / 5)


@pytest.mark.parametrize(
    ("x", "options", "pointer"),
    [
        ([[1, 2, 3]], {}, "/x/0"),
        ([[1, None]], {}, "/x/0/1"),
        (X, {"condition": [0, 1]}, "/condition"),
        (X, {"condition": "up"}, "/condition"),
        (X, {"draws": 0}, "/draws"),
        (X, {"draws": 2.0}, "/draws"),
        (X, {"draws": True}, "/draws"),
        (X, {"seed": 2**53}, "/seed"),
        (X, {"class_prior": [0.5, 0.5]}, "/class_prior"),
        (X, {"class_prior": [0.5, 0.5, 0.5]}, "/class_prior"),
        (X, {"class_prior": [0.2, 0.3, 0.5], "condition": 0}, "/class_prior"),
    ],
)
def test_refused(labels: Loaded, x: object, options: dict[str, object], pointer: str) -> None:
    with pytest.raises(FieldError) as error:
        log_likelihood(labels, x, **options)
    assert error.value.pointer == pointer


def test_vectors_and_images_need_their_condition(coupled: Loaded) -> None:
    for loaded, x in ((coupled, [[1.0]]), (handmade.image_condition().load(), np.zeros((1, 1, 2, 2)))):
        with pytest.raises(FieldError, match=r"^/condition: "):
            log_likelihood(loaded, x)
    with pytest.raises(FieldError, match=r"^/class_prior"):
        log_likelihood(coupled, [[1.0]], [0.0, 1.0], class_prior=[1.0])
    with pytest.raises(CannotAnswer, match="no `score`"):
        log_likelihood(handmade.read_off_vector().load(), [[1.0]], [1.0])
