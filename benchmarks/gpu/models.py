"""The models that the accelerator is checked and measured with."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

from benchmarks.gpu.plan import Sizes
from flows.architecture import build
from flows.config import (
    Affine,
    Conditioner,
    CouplingConfig,
    Data,
    JointConfig,
    LabelCondition,
    Spline,
    VectorCondition,
)
from flows.models.base import Model

MIXTURE = "mixture"
Module = TypeVar("Module", bound=nn.Module)


def joint_mixture(width: int, depth: int, blocks: int) -> Model:
    """The 8-mode mixture of Xiao 2019: 2 + 8 padding dimensions, `blocks` couplings of `depth` x `width`."""
    return build(
        JointConfig(
            data=Data(shape=(2,)),
            condition=LabelCondition(classes=8),
            blocks=blocks,
            conditioner=Conditioner(width=width, depth=depth),
        )
    )


def conditional_spline() -> Model:
    """A conditional spline-coupling flow on 16 numbers, conditioned on 8."""
    return build(
        CouplingConfig(data=Data(shape=(16,)), condition=VectorCondition(size=8), coupling=Spline(), actnorm=False)
    )


def conditional_affine(width: int, depth: int, blocks: int) -> Model:
    """A conditional affine-coupling flow on 64 numbers, wide enough for the matrix unit."""
    return build(
        CouplingConfig(
            data=Data(shape=(64,)),
            condition=VectorCondition(size=8),
            coupling=Affine(),
            conditioner=Conditioner(width=width, depth=depth),
            blocks=blocks,
            actnorm=False,
        )
    )


def wide_models(sizes: Sizes) -> dict[str, Model]:
    """The two flows that fill the matrix unit, by name."""
    shape = (sizes.width, sizes.depth, sizes.blocks)
    return {MIXTURE: perturb(joint_mixture(*shape)), "affine": perturb(conditional_affine(*shape))}


def perturb(model: Module) -> Module:
    """Give the zero-initialised last layers weights, so that the flow is not the identity. What is fixed stays."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.add_(0.05 * noise / max(1, parameter.shape[-1]) ** 0.5)
    return model.eval()
