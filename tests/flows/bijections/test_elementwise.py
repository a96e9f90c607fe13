from __future__ import annotations

import math

import pytest
import torch

from flows.bijections.base import Bijection
from flows.bijections.elementwise import BoundedSupport, Logit, Softplus, Standardize
from flows.condition import Condition

NONE = Condition.none()


def test_standardize_fits_and_keeps_constants() -> None:
    layer, x = Standardize(2), torch.tensor([[1.0, 4.0], [3.0, 4.0]])
    layer.fit(x)
    assert torch.equal(layer(x, NONE)[0], torch.tensor([[-1.0, 0.0], [1.0, 0.0]]))
    assert set(layer.state_dict()) == {"mean", "scale"}


@pytest.mark.parametrize(
    ("bijection", "outside", "inside"),
    [
        (Logit(), [-0.1, 1.1], [0.0, 0.5, 1.0]),
        (Logit(0.05), [-1.0, 2.0], [0.0, 1.0]),
        (Softplus(), [-1e-9, -5.0], [1e-12, 0.3, 1e4]),
        (BoundedSupport([2.0], [3.0]), [1.9, 3.1], [2.0, 2.5, 3.0]),
        (BoundedSupport([2.0], [None]), [1.9], [2.5, 1e5]),
        (BoundedSupport([None], [2.0]), [2.1], [1.5, -1e5]),
        (BoundedSupport([None], [None]), [], [-1e5, 0.0]),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Bijection) else None,
)
def test_there_is_no_density_outside_the_support(
    bijection: Bijection, outside: list[float], inside: list[float]
) -> None:
    for dtype in (torch.float32, torch.float64):
        _, log_det = bijection(torch.tensor(outside, dtype=dtype)[:, None], NONE)
        assert (log_det == -math.inf).all()
        z, log_det = bijection(torch.tensor(inside, dtype=dtype)[:, None], NONE)
        assert log_det.isfinite().all()
        assert z.isfinite().all()


def test_samples_stay_inside_the_bounds() -> None:
    layer = BoundedSupport([0.0, 1.0, None], [2.0, None, 3.0])
    x, _ = layer.inverse(torch.linspace(-1e4, 1e4, 2001)[:, None].expand(-1, 3), NONE)
    assert ((x[:, 0] >= 0) & (x[:, 0] <= 2) & (x[:, 1] >= 1) & (x[:, 2] <= 3)).all()


def test_small_positive_numbers_keep_their_digits() -> None:
    x = torch.tensor([[1e-12], [1e-6], [1e-3]])
    back, _ = Softplus().inverse(Softplus()(x, NONE)[0], NONE)
    torch.testing.assert_close(back, x, rtol=1e-5, atol=0)


def test_works_on_images_too() -> None:
    x = torch.rand(2, 3, 4, 5)
    z, log_det = Logit(0.01)(x, NONE)
    assert z.shape == x.shape
    torch.testing.assert_close(log_det, Logit(0.01)(x.flatten(1), NONE)[1])


@pytest.mark.parametrize("alpha", [-0.1, 0.5])
def test_bad_alpha_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match="alpha: expected"):
        Logit(alpha)


@pytest.mark.parametrize(("lower", "upper"), [([0.0], []), ([1.0], [1.0])])
def test_bad_bounds_are_refused(lower: list[float], upper: list[float]) -> None:
    with pytest.raises(ValueError, match=r"upper.*: expected"):
        BoundedSupport(lower, upper)
