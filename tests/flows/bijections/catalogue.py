"""Every bijection and every kind of condition, built the same way for all tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor, nn

from flows.bijections.actnorm import ActNorm
from flows.bijections.affine import AdditiveCoupling, AffineCoupling
from flows.bijections.base import Bijection
from flows.bijections.composition import Composition
from flows.bijections.elementwise import BoundedSupport, Logit, Softplus, Standardize
from flows.bijections.linear import LULinear
from flows.bijections.permutation import FixedPermutation
from flows.bijections.spline import SplineCoupling
from flows.condition import Condition, ConditionShape
from flows.conditioners.image_encoder import ImageEncoder
from flows.conditioners.mlp import MLP
from flows.conditioners.residual import ResidualMLP

Network = TypeVar("Network", bound=nn.Module)
SMALL_MLP = partial(MLP, width=12, depth=2, activation="silu")
SMALL_RESIDUAL = partial(ResidualMLP, width=12, depth=1, activation="tanh")
IMAGE = (1, 5, 4)
SIZES = (1, 2, 7)
KINDS = ("none", "label", "vector", "image")
LOWER = (0.0, None, -2.0, None)
UPPER = (1.0, None, None, 3.0)


def _sides(features: int) -> tuple[list[float | None], list[float | None]]:
    return [LOWER[i % 4] for i in range(features)], [UPPER[i % 4] for i in range(features)]


def _normal(rows: int, features: int) -> Tensor:
    return 2 * torch.randn(rows, features, dtype=torch.float64)


def _unit(rows: int, features: int) -> Tensor:
    return torch.rand(rows, features, dtype=torch.float64) * 0.98 + 0.01


def _positive(rows: int, features: int) -> Tensor:
    return torch.randn(rows, features, dtype=torch.float64).exp()


def _supported(rows: int, features: int) -> Tensor:
    unit, positive, normal = _unit(rows, features), _positive(rows, features), _normal(rows, features)
    columns = (unit, normal, positive - 2.0, 3.0 - positive)
    return torch.stack([columns[i % 4][:, i] for i in range(features)], 1)


def _affine_stack(features: int, shape: ConditionShape, seed: int) -> Bijection:
    return Composition(
        [
            ActNorm(features),
            AffineCoupling(features, SMALL_MLP, shape, clamp=0.5),
            AffineCoupling(features, SMALL_RESIDUAL, shape, transforms="first", clamp=0.5),
            FixedPermutation(features, seed),
            SplineCoupling(features, SMALL_MLP, shape, bins=4, bound=3.0),
        ]
    )


@dataclass(frozen=True)
class Case:
    """How to build a bijection from (features, condition shape, seed), and points of its domain."""

    build: Callable[[int, ConditionShape, int], Bijection]
    data: Callable[[int, int], Tensor] = _normal
    volume_preserving: bool = False


CASES: dict[str, Case] = {
    "affine": Case(lambda d, c, seed: AffineCoupling(d, SMALL_MLP, c)),
    "affine-first": Case(lambda d, c, seed: AffineCoupling(d, SMALL_RESIDUAL, c, transforms="first", clamp=1.0)),
    "additive": Case(lambda d, c, seed: AdditiveCoupling(d, SMALL_MLP, c), volume_preserving=True),
    "spline": Case(lambda d, c, seed: SplineCoupling(d, SMALL_MLP, c, bins=6, bound=3.0)),
    "spline-first": Case(lambda d, c, seed: SplineCoupling(d, SMALL_RESIDUAL, c, transforms="first")),
    "actnorm": Case(lambda d, c, seed: ActNorm(d)),
    "lu-linear": Case(lambda d, c, seed: LULinear(d, seed)),
    "permutation": Case(lambda d, c, seed: FixedPermutation(d, seed), volume_preserving=True),
    "standardize": Case(lambda d, c, seed: Standardize(d, torch.linspace(-1, 2, d), torch.linspace(0.5, 3, d))),
    "logit": Case(lambda d, c, seed: Logit(0.05), _unit),
    "softplus": Case(lambda d, c, seed: Softplus(), _positive),
    "bounded-support": Case(lambda d, c, seed: BoundedSupport(*_sides(d)), _supported),
    "composition": Case(_affine_stack),
}


def build(name: str, features: int, kind: str, seed: int = 0) -> Bijection:
    """The bijection in float64 with random parameters, so that it is far from the identity it starts as."""
    torch.manual_seed(seed)
    bijection = CASES[name].build(features, condition_shape(kind), seed).double()
    return randomize(bijection, seed).eval()


def randomize(module: Network, seed: int = 0, scale: float = 0.3) -> Network:
    """Normal parameters, the same for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(scale * noise)
    return module


def data(name: str, rows: int, features: int, seed: int = 1) -> Tensor:
    """Points of the bijection's domain, float64."""
    torch.manual_seed(seed)
    return CASES[name].data(rows, features)


def latents(rows: int, features: int, seed: int = 2) -> Tensor:
    """Points of its range, float64."""
    torch.manual_seed(seed)
    return 1.5 * torch.randn(rows, features, dtype=torch.float64)


def condition_shape(kind: str) -> ConditionShape:
    shapes = {"none": (0, 0), "label": (3, 0), "vector": (4, 0), "image": (6, 2)}
    return ConditionShape(*shapes[kind])


def condition(kind: str, rows: int, dtype: torch.dtype = torch.float64) -> Condition:
    """A batch of conditions of the kind."""
    torch.manual_seed(3)
    if kind == "none":
        return Condition.none()
    if kind == "label":
        return Condition.label(torch.randint(3, (rows,)), 3, dtype)
    if kind == "vector":
        return Condition(vector=torch.randn(rows, 4, dtype=torch.float64).to(dtype))
    encoder = ImageEncoder(IMAGE, channels=(3, 4), features=6, spatial=2).to(dtype)
    with torch.no_grad():
        encoded: Condition = encoder(torch.randn(rows, *IMAGE, dtype=torch.float64).to(dtype))
    return encoded


def single(c: Condition) -> Condition:
    """The same condition in float32."""
    return Condition(
        vector=None if c.vector is None else c.vector.float(), image=None if c.image is None else c.image.float()
    )
