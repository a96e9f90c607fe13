"""The stack of couplings that a configuration asks for: what is mixed, what transforms what, in which order."""

from __future__ import annotations

from functools import partial

import torch

from flows import config as configs
from flows.bijections.actnorm import ActNorm
from flows.bijections.affine import AdditiveCoupling, AffineCoupling
from flows.bijections.base import Bijection
from flows.bijections.composition import Composition
from flows.bijections.coupling import Half
from flows.bijections.linear import LULinear
from flows.bijections.permutation import FixedPermutation
from flows.bijections.spline import SplineCoupling
from flows.condition import ConditionShape
from flows.conditioners.base import ConditionerFactory
from flows.conditioners.mlp import MLP
from flows.conditioners.residual import ResidualMLP


def stack(config: configs.Flow, features: int, condition: ConditionShape) -> Composition:
    """Per block: ActNorm, a mixing of the features, a coupling; without a mixing the halves take turns.

    The mixing `partitioned` has its own order, see `partitioned`.
    """
    if config.mixing == "partitioned":
        return partitioned(config, features, condition)
    layers: list[Bijection] = []
    generator = torch.Generator().manual_seed(config.seed)
    for block in range(config.blocks):
        if config.actnorm:
            layers.append(ActNorm(features))
        seed = int(torch.randint(2**31, (), generator=generator))
        if config.mixing == "permutation":
            layers.append(FixedPermutation(features, seed))
        elif config.mixing == "lu":
            layers.append(LULinear(features, seed))
        half: Half = "first" if config.mixing == "none" and block % 2 else "second"
        layers.append(_coupling(config, features, condition, half))
    return Composition(layers)


def partitioned(config: configs.Flow, features: int, condition: ConditionShape) -> Composition:
    """Rounds of three couplings that keep the padding apart.

    x -> padding, (x_a, padding) -> x_b, (x_b, padding) -> x_a. The padding starts where the joint flow reads the
    condition, so the first coupling already is a regression of the condition on all of x, and the others bend what is
    left of x around it. x_a and x_b are halves of x, drawn anew for
    each of the `blocks` rounds.
    """
    size = config.data.size
    padding = list(range(size, features))
    generator = torch.Generator().manual_seed(config.seed)
    layers: list[Bijection] = []
    place = list(range(features))

    def arrange(*parts: list[int]) -> None:
        nonlocal place
        target = [index for part in parts for index in part]
        if target != place:
            layers.append(FixedPermutation(features, order=[place.index(index) for index in target]))
        place = target

    def couple(passed: int) -> None:
        layers.append(_coupling(config, features, condition, "second", passed))

    def normalise() -> None:
        if config.actnorm:
            layers.append(ActNorm(features))

    for _ in range(config.blocks):
        shuffled = torch.randperm(size, generator=generator).tolist()
        a, b = shuffled[: size // 2], shuffled[size // 2 :]
        couple(size)
        normalise()
        if a:
            arrange(a, padding, b)
            couple(features - len(b))
            arrange(b, padding, a)
            couple(features - len(a))
            arrange(b, a, padding)
        normalise()
    return Composition(layers)


def conditioner_of(config: configs.Conditioner) -> ConditionerFactory:
    """Makes the network inside each coupling."""
    network = MLP if config.kind == "mlp" else ResidualMLP
    return partial(
        network, width=config.width, depth=config.depth, activation=config.activation, dropout=config.dropout
    )


def _coupling(
    config: configs.Flow, features: int, condition: ConditionShape, half: Half, first: int | None = None
) -> Bijection:
    conditioner = conditioner_of(config.conditioner)
    match config.coupling:
        case configs.Affine(clamp=clamp):
            return AffineCoupling(features, conditioner, condition, transforms=half, first=first, clamp=clamp)
        case configs.Additive():
            return AdditiveCoupling(features, conditioner, condition, transforms=half, first=first)
        case configs.Spline(bins=bins, bound=bound):
            return SplineCoupling(
                features, conditioner, condition, transforms=half, first=first, bins=bins, bound=bound
            )
