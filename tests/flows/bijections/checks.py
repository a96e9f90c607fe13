"""The checks that every bijection must pass. The mutation test proves that they can fail, so both use these."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from flows.bijections.base import Bijection
from flows.condition import Condition
from tests.flows.bijections.catalogue import single

Direction = Callable[[Tensor, Condition], tuple[Tensor, Tensor]]


def close(actual: Tensor, expected: Tensor, tolerance: float) -> None:
    """|actual - expected| <= tolerance (1 + |expected|), with shapes, and no NaN."""
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


def check_contract(bijection: Bijection, x: Tensor, c: Condition) -> None:
    """Shapes, dtype and finiteness, in both directions."""
    for direction in (bijection, bijection.inverse):
        value, log_det = direction(x, c)
        assert value.shape == x.shape
        assert log_det.shape == x.shape[:1]
        assert value.dtype == log_det.dtype == x.dtype
        assert value.isfinite().all()


def check_round_trip(bijection: Bijection, x: Tensor, z: Tensor, c: Condition) -> None:
    """x -> z -> x and z -> x -> z in float64, with log-determinants that cancel."""
    there, log_there = bijection(x, c)
    back, log_back = bijection.inverse(there, c)
    close(back, x, 1e-9)
    close(log_back, -log_there, 1e-9)
    there, log_there = bijection.inverse(z, c)
    back, log_back = bijection(there, c)
    close(back, z, 1e-9)
    close(log_back, -log_there, 1e-9)


def check_log_det(direction: Direction, x: Tensor, c: Condition) -> None:
    """The log-determinant of each row against that of the Jacobian by automatic differentiation."""
    log_det = direction(x, c)[1].detach()
    jacobian = torch.func.jacrev(lambda value: direction(value, c)[0])(x).detach()
    rows = torch.arange(x.shape[0])
    close(log_det, torch.linalg.slogdet(jacobian[rows, :, rows]).logabsdet, 1e-8)
    jacobian[rows, :, rows] = 0
    assert (jacobian == 0).all(), "a row's value depends on another row"


def check_float32(bijection: Bijection, x: Tensor, z: Tensor, c: Condition, bound: float = 5e-5) -> None:
    """float32 against float64, value and log-determinant, both directions. Leaves the bijection in float32."""
    exact = [bijection(x, c), bijection.inverse(z, c)]
    bijection.float()
    rounded = [bijection(x.float(), single(c)), bijection.inverse(z.float(), single(c))]
    for (value, log_det), (value32, log_det32) in zip(exact, rounded, strict=True):
        assert value32.dtype == log_det32.dtype == torch.float32
        close(value32.double(), value, bound)
        close(log_det32.double(), log_det, bound * x.shape[1])


def check_far_gradients(bijection: Bijection, features: int, c: Condition, dtype: torch.dtype) -> None:
    """Values and gradients at -+1e3, +-1e3 in turn and just at the edges: finite, in both directions."""
    turns = torch.tensor([-1e3, 1e3], dtype=dtype).repeat(features)[:features]
    x = torch.stack([turns, -turns, turns.abs(), torch.full_like(turns, 3.0), torch.full_like(turns, -3.0)])
    for direction in (bijection, bijection.inverse):
        inputs = x.clone().requires_grad_()
        value, log_det = direction(inputs, c)
        assert value.isfinite().all()
        assert not log_det.isnan().any()
        targets = [inputs, *bijection.parameters()]
        outputs = value.sum() + log_det.sum()
        for gradient in torch.autograd.grad(outputs, targets, allow_unused=True, materialize_grads=True):
            assert gradient.isfinite().all()
