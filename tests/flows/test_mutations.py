"""The suite's own checks must turn red when a log-determinant is wrong.

Each bijection of the catalogue is broken on purpose, in each direction, and given to the functions the suite calls.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from flows.bijections import elementwise, rational_quadratic
from flows.bijections.affine import AffineCoupling
from flows.bijections.base import Bijection
from flows.condition import Condition
from tests.flows.bijections import catalogue, checks

FEATURES = 5
ROWS = 4
conditional = pytest.mark.parametrize("kind", ["none", "vector"])
directions = pytest.mark.parametrize("direction", ["forward", "inverse"])


class Mutant(Bijection):
    """A bijection whose log-determinant has the wrong sign in one direction; if it is always 0, it is 0.01 instead."""

    def __init__(self, bijection: Bijection, direction: str, volume_preserving: bool) -> None:
        super().__init__()
        self.bijection, self.direction, self.volume_preserving = bijection, direction, volume_preserving

    def forward(self, x: Tensor, c: Condition) -> tuple[Tensor, Tensor]:
        return self._mutated("forward", *self.bijection(x, c))

    def inverse(self, z: Tensor, c: Condition) -> tuple[Tensor, Tensor]:
        return self._mutated("inverse", *self.bijection.inverse(z, c))

    def _mutated(self, direction: str, value: Tensor, log_det: Tensor) -> tuple[Tensor, Tensor]:
        if direction != self.direction:
            return value, log_det
        return value, log_det + 0.01 if self.volume_preserving else -log_det


def points(name: str, direction: str) -> Tensor:
    return catalogue.data(name, ROWS, FEATURES) if direction == "forward" else catalogue.latents(ROWS, FEATURES)


def assert_caught(bijection: Bijection, name: str, direction: str, c: Condition) -> None:
    with pytest.raises(AssertionError):
        checks.check_log_det(getattr(bijection, direction), points(name, direction), c)


@directions
@conditional
@pytest.mark.parametrize("name", catalogue.CASES)
def test_a_wrong_log_det_is_caught(name: str, kind: str, direction: str) -> None:
    c = catalogue.condition(kind, ROWS)
    healthy = catalogue.build(name, FEATURES, kind)
    checks.check_log_det(getattr(healthy, direction), points(name, direction), c)
    mutant = Mutant(healthy, direction, catalogue.CASES[name].volume_preserving)
    assert_caught(mutant, name, direction, c)
    with pytest.raises(AssertionError):
        checks.check_round_trip(mutant, points(name, "forward"), points(name, "inverse"), c)


@directions
@pytest.mark.parametrize("name", ["spline", "spline-first", "composition"])
def test_a_dropped_term_of_the_spline_is_caught(name: str, direction: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_the_denominator(
        slope: Tensor, d0: Tensor, d1: Tensor, tt: Tensor, tr: Tensor, r: Tensor, _: Tensor
    ) -> Tensor:
        return (torch.addcmul(torch.addcmul(d1 * tt, slope, tr, value=2), d0, r * r)).log()

    monkeypatch.setattr(rational_quadratic, "_log_derivative", without_the_denominator)
    assert_caught(catalogue.build(name, FEATURES, "vector"), name, direction, catalogue.condition("vector", ROWS))


@pytest.mark.parametrize("name", ["affine", "affine-first", "composition"])
def test_a_wrong_sign_inside_a_coupling_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    healthy = AffineCoupling.transform

    def negated(self: AffineCoupling, moved: Tensor, passed: Tensor, c: Condition) -> tuple[Tensor, Tensor]:
        value, log_derivative = healthy(self, moved, passed, c)
        return value, -log_derivative

    monkeypatch.setattr(AffineCoupling, "transform", negated)
    assert_caught(catalogue.build(name, FEATURES, "label"), name, "forward", catalogue.condition("label", ROWS))


@pytest.mark.parametrize("name", ["logit", "softplus", "bounded-support"])
def test_a_dropped_term_of_a_support_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elementwise, "_softplus", lambda z: z.clamp(min=0))
    assert_caught(
        catalogue.build(name, FEATURES, "none"), name, "forward" if name != "softplus" else "inverse", Condition.none()
    )


def test_leakage_between_rows_is_caught() -> None:
    class Leaking(Mutant):
        def forward(self, x: Tensor, c: Condition) -> tuple[Tensor, Tensor]:
            value, log_det = self.bijection(x, c)
            return value + 1e-3 * value.mean(0), log_det

    assert_caught(
        Leaking(catalogue.build("actnorm", FEATURES, "none"), "", False), "actnorm", "forward", Condition.none()
    )
