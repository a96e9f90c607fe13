"""The joint flow's label posterior and likelihood against dense quadrature over the padding."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from flows import JointConfig, Model
from inference.estimators import effective_sample_size, label_posterior, log_mean_exp, standard_error
from tests.flows.models.catalogue import random_model

PRIOR = np.array([0.2, 0.5, 0.3])
PADDINGS = pytest.mark.parametrize("padding", [1, 2])


def joint(padding: int, epsilon: float = 0.6, seed: int = 1) -> Model:
    config = JointConfig(
        data={"shape": (4,)},
        condition={"kind": "label", "classes": 3},
        padding=padding,
        epsilon=epsilon,
        padding_sigma=1.2,
        blocks=3,
        conditioner={"width": 16},
        seed=4,
    )
    return random_model(config, seed=seed, spread=0.1)


def rows(count: int = 6) -> torch.Tensor:
    return torch.rand(count, 4, generator=torch.Generator().manual_seed(8), dtype=torch.float64)


@torch.no_grad()
def quadrature(model: Model, x: torch.Tensor, padding: int) -> np.ndarray:
    """log of the integral of exp(log_weight) N(n; 0, I) over n in [-9, 9]^P: (rows, classes)."""
    axis = torch.linspace(-9, 9, 3001 if padding == 1 else 241, dtype=torch.float64)
    points = torch.cartesian_prod(*([axis] * padding)).reshape(-1, padding)
    log_normal = torch.distributions.Normal(0.0, 1.0).log_prob(points).sum(1)
    step = padding * float(torch.log(axis[1] - axis[0]))
    answers = []
    for row in x:
        scores = model.score(row.expand(len(points), -1), (points,), None)
        answers.append(torch.logsumexp(scores + log_normal[:, None], 0) + step)
    return torch.stack(answers).numpy()


@torch.no_grad()
def weights(model: Model, x: torch.Tensor, padding: int, draws: int, seed: int = 0) -> np.ndarray:
    """Log-weights (rows, classes, draws)."""
    noise = torch.randn(len(x), draws, padding, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    scores = model.score(x.repeat_interleave(draws, 0), (noise.flatten(0, 1),), None)
    return scores.reshape(len(x), draws, 3).transpose(1, 2).numpy()


@PADDINGS
def test_posterior_equals_quadrature(padding: int) -> None:
    model, x = joint(padding), rows()
    truth = label_posterior(quadrature(model, x, padding), PRIOR)
    draws = weights(model, x, padding, 40_000)
    posterior = label_posterior(log_mean_exp(draws), PRIOR)
    np.testing.assert_allclose(posterior, truth, atol=0.01)
    assert truth.max() < 0.999 or truth.min() > 1e-6  # labels that are not all certain

    # The same weights by the wrong rule: each draw's softmax, then the mean.
    mean_of_softmaxes = label_posterior(draws.transpose(0, 2, 1), PRIOR).mean(1)
    assert np.abs(mean_of_softmaxes - truth).max() > 0.05


@PADDINGS
def test_importance_estimate_converges_to_quadrature(padding: int) -> None:
    model, x = joint(padding), rows()
    truth = quadrature(model, x, padding)
    errors = []
    for draws in (100, 40_000):
        log_weights = weights(model, x, padding, draws)
        error = log_mean_exp(log_weights) - truth
        claimed = standard_error(log_weights)
        trusted = effective_sample_size(log_weights) >= 10
        assert trusted.any()
        assert np.all(np.abs(error[trusted]) <= 5 * claimed[trusted] + 1e-9)
        errors.append(float(np.sqrt(np.mean(error[trusted] ** 2))))
    assert errors[1] < errors[0] / 3


def test_effective_sample_size_is_low_where_the_estimate_is_wrong() -> None:
    """With a sharp condition, few draws of the padding land where the class has its mass."""
    model, x = joint(2, epsilon=0.01), rows(20)
    truth = quadrature(model, x, 2)
    log_weights = weights(model, x, 2, 64)
    wrong = np.abs(log_mean_exp(log_weights) - truth) > 2
    assert wrong.any()
    assert effective_sample_size(log_weights)[wrong].max() < 10


def test_a_single_draw_is_a_lower_bound_on_average() -> None:
    model, x = joint(1), rows(3)
    log_weights = weights(model, x, 1, 5000)
    assert np.all(log_weights.mean(-1) < quadrature(model, x, 1))


@torch.no_grad()
def test_infer_reads_the_condition_that_score_compares() -> None:
    """argmax_k c_k = argmax_k score_k for one draw (Xiao 2019), since ||e_k|| are equal."""
    model, x = joint(2), rows(50)
    noise = (torch.randn(50, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64),)
    estimate, log_weight = model.infer(x, noise)
    scores = model.score(x, noise, None)
    assert torch.equal(estimate.argmax(1), scores.argmax(1))
    torch.testing.assert_close(scores.log_softmax(1), (estimate / model.config.epsilon**2).log_softmax(1))
    assert log_weight.shape == (50,)


@torch.no_grad()
def test_infer_gives_vectors_in_data_units() -> None:
    """Sampled with v = 0, the condition is read back exactly where the padding is known: with none."""
    config = JointConfig(data={"shape": (4,)}, condition={"kind": "vector", "size": 2}, padding=0, blocks=3)
    model = random_model(config)
    condition = torch.tensor([[3.0, 5.0], [-1.0, 2.5]], dtype=torch.float64)
    x = model.decode((torch.randn(2, 2, dtype=torch.float64), torch.zeros(2, 2, dtype=torch.float64)), condition)
    estimate, _ = model.infer(x, ())
    torch.testing.assert_close(estimate, condition, rtol=0, atol=1e-9)
