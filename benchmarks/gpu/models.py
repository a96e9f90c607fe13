"""The models that the accelerator is checked and measured with."""

from __future__ import annotations

import torch

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


def joint_mixture(width: int = 512, depth: int = 3, blocks: int = 8) -> Model:
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


def conditional_affine(width: int = 512, depth: int = 3, blocks: int = 8) -> Model:
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


def perturb(model: Model, scale: float = 0.05, seed: int = 0) -> Model:
    """Give the zero-initialised last layers weights, so that the flow is not the identity."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(
                scale * torch.randn(parameter.shape, generator=generator) / max(1, parameter.shape[-1]) ** 0.5
            )
    return model.eval()


def inputs(model: Model, rows: int, device: torch.device, dtype: torch.dtype, seed: int = 0) -> dict[str, torch.Tensor]:
    """x, z parts, noise parts and condition for `rows` rows, the same numbers on every device."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(device, dtype)

    named = {"x": normal(rows, *model.data.shape)}
    named |= {part.name: normal(rows, *part.shape) for part in (*model.latent, *model.noise)}
    if model.condition.kind == "label":
        named["condition"] = torch.randint(model.condition.size, (rows,), generator=generator).to(device)
    else:
        named["condition"] = normal(rows, model.condition.size)
    return named
