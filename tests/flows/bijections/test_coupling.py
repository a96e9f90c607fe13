from __future__ import annotations

import math
from functools import partial

import pytest
import torch

from flows.bijections.affine import AdditiveCoupling, AffineCoupling
from flows.bijections.composition import Composition
from flows.bijections.coupling import Coupling
from flows.bijections.spline import SplineCoupling
from flows.condition import Condition, ConditionShape
from flows.conditioners.mlp import MLP
from tests.flows.bijections import catalogue, checks

COUPLINGS = [AffineCoupling, AdditiveCoupling, SplineCoupling]


@pytest.mark.parametrize("features", [2, 3, 5, 8])
@pytest.mark.parametrize("transforms", ["first", "second"])
@pytest.mark.parametrize("coupling", COUPLINGS)
def test_one_half_passes_and_the_other_moves(coupling: type[Coupling], transforms: str, features: int) -> None:
    layer = catalogue.randomize(coupling(features, MLP, ConditionShape(), transforms=transforms))
    x = torch.randn(6, features)
    z, _ = layer(x, Condition.none())
    first = torch.arange(features) < features // 2
    moves = first if transforms == "first" else ~first
    assert torch.equal(z[:, ~moves], x[:, ~moves])
    assert (z[:, moves] != x[:, moves]).all()


@pytest.mark.parametrize("transforms", ["first", "second"])
@pytest.mark.parametrize("coupling", COUPLINGS)
def test_one_feature_is_transformed_by_the_condition(coupling: type[Coupling], transforms: str) -> None:
    layer = catalogue.randomize(coupling(1, MLP, ConditionShape(3), transforms=transforms))
    z, _ = layer(torch.ones(3, 1), Condition.label(torch.arange(3), 3))
    assert z.unique().numel() == 3


def test_the_clamp_bounds_the_log_scale() -> None:
    layer = AffineCoupling(4, MLP, ConditionShape(), clamp=0.7)
    catalogue.randomize(layer, scale=50.0)
    _, log_det = layer(100 * torch.randn(100, 4), Condition.none())
    assert log_det.abs().max() <= 2 * 0.7 + 1e-6
    assert log_det.abs().max() > 0.7


@pytest.mark.parametrize("name", ["clamp", "features"])
def test_bad_sizes_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: expected"):
        AffineCoupling(**{"features": 2, "conditioner": MLP, "condition": ConditionShape(), name: 0})


@pytest.mark.parametrize(("name", "value"), [("bins", 1), ("bins", 2000), ("bound", 0.0)])
def test_bad_splines_are_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name}: expected"):
        SplineCoupling(2, MLP, ConditionShape(), **{name: value})


def test_a_run_of_couplings_is_the_couplings_one_by_one() -> None:
    shape, c = ConditionShape(4), catalogue.condition("vector", 6)
    halves = ("second", "first", "first", "second")
    layers = [AffineCoupling(7, partial(MLP, width=8), shape, transforms=half) for half in halves]
    composition = catalogue.randomize(Composition(layers).double())
    x = torch.randn(6, 7, dtype=torch.float64)
    z, total = x, torch.zeros(6, dtype=torch.float64)
    for layer in layers:
        z, log_det = layer(z, c)
        total = total + log_det
    checks.close(composition(x, c)[0], z, 1e-12)
    checks.close(composition(x, c)[1], total, 1e-12)


def test_an_empty_composition_is_refused() -> None:
    with pytest.raises(ValueError, match="bijections: expected at least one"):
        Composition([])


@pytest.mark.parametrize("bound", [3.0, 3.3])
def test_the_spline_is_the_identity_outside_and_continuous_at_the_edge(bound: float) -> None:
    layer = catalogue.randomize(SplineCoupling(2, MLP, ConditionShape(), bound=bound).double(), scale=0.2)
    edge = torch.tensor([-bound, bound, -bound, bound, -1e3, math.inf], dtype=torch.float64)
    edge[2:4] *= 1 - 1e-9
    x = torch.stack([torch.zeros_like(edge), edge], 1)
    z, log_det = layer(x, Condition.none())
    torch.testing.assert_close(z, x, rtol=0, atol=1e-6)
    assert log_det[4] == 0
    assert torch.equal(z[4:], x[4:])


def test_the_spline_increases() -> None:
    layer = catalogue.randomize(SplineCoupling(1, MLP, ConditionShape(), bins=16).double(), scale=0.2)
    z, _ = layer(torch.linspace(-6, 6, 5001, dtype=torch.float64)[:, None], Condition.none())
    assert (z.diff(dim=0) > 0).all()


@pytest.mark.parametrize("first", [1, 4])
@pytest.mark.parametrize("transforms", ["first", "second"])
@pytest.mark.parametrize("coupling", COUPLINGS)
def test_halves_of_a_chosen_size(coupling: type[Coupling], transforms: str, first: int) -> None:
    layer = catalogue.randomize(
        coupling(5, partial(MLP, width=8), ConditionShape(), transforms=transforms, first=first)
    )
    layer.double()
    x, z = catalogue.data("affine", 3, 5), catalogue.latents(3, 5)
    moved = (layer(x, Condition.none())[0] != x).all(0)
    assert moved.tolist() == [(index < first) == (transforms == "first") for index in range(5)]
    checks.check_round_trip(layer, x, z, Condition.none())
    checks.check_log_det(layer, x, Condition.none())


@pytest.mark.parametrize("first", [0, 3])
def test_an_empty_half_is_refused(first: int) -> None:
    with pytest.raises(ValueError, match="first: expected between 1 and 2"):
        AffineCoupling(3, MLP, ConditionShape(), first=first)


def test_neighbours_with_other_halves_are_kept_apart() -> None:
    layers = [AffineCoupling(5, partial(MLP, width=8), ConditionShape(), first=first) for first in (2, 3, 3)]
    composition = catalogue.randomize(Composition(layers).double())
    x, z = catalogue.data("affine", 3, 5), catalogue.latents(3, 5)
    checks.check_round_trip(composition, x, z, Condition.none())
    checks.check_log_det(composition, x, Condition.none())
