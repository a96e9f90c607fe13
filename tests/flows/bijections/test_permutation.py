from __future__ import annotations

import pytest
import torch

from flows.bijections.linear import LULinear
from flows.bijections.permutation import FixedPermutation
from flows.condition import Condition


def test_the_seed_decides() -> None:
    orders = [FixedPermutation(20, seed).order for seed in (0, 0, 1)]
    assert torch.equal(orders[0], orders[1])
    assert not torch.equal(orders[0], orders[2])
    assert torch.equal(orders[0].sort().values, torch.arange(20))


def test_the_global_generator_is_left_alone() -> None:
    torch.manual_seed(0)
    state = torch.get_rng_state()
    FixedPermutation(20, 5)
    LULinear(20, 5)
    assert torch.equal(torch.get_rng_state(), state)


def test_permutations_are_saved_but_not_learnt() -> None:
    permutation, linear = FixedPermutation(4, 0), LULinear(4, 0)
    assert set(permutation.state_dict()) == {"order", "inverse_order"}
    assert not list(permutation.parameters())
    assert "permutation" in linear.state_dict()
    assert "permutation" not in dict(linear.named_parameters())


def test_lu_linear_starts_as_its_permutation() -> None:
    linear, x = LULinear(5, 3), torch.randn(4, 5)
    z, log_det = linear(x, Condition.none())
    assert torch.equal(z, x @ linear.permutation.t())
    assert torch.equal(log_det, torch.zeros(4))


def test_lu_linear_log_det_is_that_of_its_matrix() -> None:
    linear = LULinear(6, 0).double()
    for parameter in linear.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    image, log_det = linear(torch.eye(6, dtype=torch.float64), Condition.none())
    torch.testing.assert_close(torch.linalg.slogdet(image - linear.bias).logabsdet.expand(6), log_det)


def test_a_given_order_is_kept() -> None:
    x = torch.tensor([[10.0, 20.0, 30.0]])
    permutation = FixedPermutation(3, order=[2, 0, 1])
    assert permutation(x, Condition.none())[0].tolist() == [[30.0, 10.0, 20.0]]
    assert torch.equal(permutation.inverse(permutation(x, Condition.none())[0], Condition.none())[0], x)


@pytest.mark.parametrize("order", [[0, 1], [0, 0, 1], [1, 2, 3]])
def test_an_order_that_is_none_is_refused(order: list[int]) -> None:
    with pytest.raises(ValueError, match="order: expected every index from 0 to 2 once"):
        FixedPermutation(3, order=order)
