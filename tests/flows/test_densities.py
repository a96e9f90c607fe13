from __future__ import annotations

from functools import partial

import pytest
import torch

from flows.condition import Condition, ConditionShape
from flows.conditioners.mlp import MLP
from flows.densities import ConditionalNormal, normal_log_prob, standard_normal_log_prob
from tests.flows.bijections import catalogue, checks


def conditional(kind: str, features: int = 3) -> ConditionalNormal:
    density = ConditionalNormal(features, partial(MLP, width=8, activation="silu"), catalogue.condition_shape(kind))
    catalogue.randomize(density.double())
    return density


@pytest.mark.parametrize("rows", [0, 1, 1000])
def test_standard_normal(rows: int) -> None:
    z = torch.randn(rows, 3, dtype=torch.float64)
    checks.close(standard_normal_log_prob(z), torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(1), 1e-12)


def test_normal_with_numbers_and_with_tensors() -> None:
    x, mean, log_scale = torch.randn(3, 5, 2, dtype=torch.float64).unbind()
    expected = torch.distributions.Normal(mean, log_scale.exp()).log_prob(x).sum(1)
    checks.close(normal_log_prob(x, mean, log_scale), expected, 1e-12)
    expected = torch.distributions.Normal(0.5, 0.1).log_prob(x).sum(1)
    checks.close(normal_log_prob(x, 0.5, torch.tensor(0.1).double().log().item()), expected, 1e-7)
    checks.close(normal_log_prob(x, mean, log_scale[:1]), normal_log_prob(x, mean, log_scale[:1].expand(5, 2)), 1e-12)


@pytest.mark.parametrize("kind", ["label", "vector", "image"])
def test_conditional_normal(kind: str) -> None:
    density, c = conditional(kind), catalogue.condition(kind, 6)
    mean, log_scale = density(c)
    z = torch.randn(6, 3, dtype=torch.float64)
    checks.close(density.log_prob(z, c), torch.distributions.Normal(mean, log_scale.exp()).log_prob(z).sum(1), 1e-12)
    checks.close(density.from_noise(density.to_noise(z, c), c), z, 1e-12)
    change_of_variables = standard_normal_log_prob(density.to_noise(z, c)) - log_scale.sum(1)
    checks.close(density.log_prob(z, c), change_of_variables, 1e-12)


@pytest.mark.parametrize("kind", ["label", "vector"])
def test_conditional_normal_integrates_to_one(kind: str) -> None:
    density, c = conditional(kind, features=1), catalogue.condition(kind, 1)
    grid = torch.linspace(-60, 60, 20001, dtype=torch.float64)[:, None]
    assert c.vector is not None
    mass = density.log_prob(grid, Condition(vector=c.vector.expand(len(grid), -1))).exp().sum() * (
        grid[1, 0] - grid[0, 0]
    )
    assert abs(mass.item() - 1) < 1e-6


def test_conditional_normal_starts_as_the_standard_normal_and_is_clamped() -> None:
    density = ConditionalNormal(3, MLP, ConditionShape(2), clamp=1.5)
    c, z = Condition(vector=torch.randn(4, 2)), torch.randn(4, 3)
    checks.close(density.log_prob(z, c), standard_normal_log_prob(z), 1e-6)
    catalogue.randomize(density, scale=100.0)
    log_scale = density(c)[1].abs()
    assert 1.0 < log_scale.max() <= 1.5


def test_bad_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="condition: a conditional density"):
        ConditionalNormal(3, MLP, ConditionShape())
    with pytest.raises(ValueError, match="clamp: expected"):
        ConditionalNormal(3, MLP, ConditionShape(1), clamp=0.0)
    with pytest.raises(ValueError, match="condition: expected a vector"):
        ConditionalNormal(3, MLP, ConditionShape(1))(Condition.none())
