"""Densities integrate to one in one and two dimensions, for each family; integer masses sum to one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from flows import CouplingConfig, JointConfig, Model
from tests.flows.models.catalogue import LABEL, VECTOR, random_condition, random_model

SMALL: dict[str, Any] = {"blocks": 3, "conditioner": {"width": 16}, "preprocessing": ({"kind": "standardize"},)}
UNSCALED: dict[str, Any] = {**SMALL, "preprocessing": ()}
ONE, TWO = {"data": {"shape": (1,)}}, {"data": {"shape": (2,)}}
IMAGE = {"kind": "image", "shape": (1, 4, 4)}
CASES = {
    "affine-1d-none": CouplingConfig(**ONE, **SMALL),
    "affine-1d-vector": CouplingConfig(**ONE, condition=VECTOR, **SMALL),
    "affine-2d-label": CouplingConfig(**TWO, condition=LABEL, prior="conditional", **SMALL),
    "affine-2d-vector-lu": CouplingConfig(**TWO, condition=VECTOR, mixing="lu", **SMALL),
    "affine-2d-image": CouplingConfig(**TWO, condition=IMAGE, **SMALL),
    "spline-1d-label": CouplingConfig(**ONE, condition=LABEL, coupling={"kind": "spline"}, **SMALL),
    "spline-2d-none": CouplingConfig(**TWO, coupling={"kind": "spline"}, **SMALL),
    "spline-2d-vector": CouplingConfig(**TWO, condition=VECTOR, coupling={"kind": "spline"}, **SMALL),
    "joint-1d-none": JointConfig(**ONE, **SMALL),
    "joint-2d-none": JointConfig(**TWO, **SMALL),
    "joint-2d-vector-without-padding": JointConfig(
        **TWO, condition={"kind": "vector", "size": 1}, padding=0, epsilon=0.5, **SMALL
    ),
}


def grid(low: float, high: float, points: int, dimensions: int) -> tuple[Tensor, float]:
    axis = torch.linspace(low, high, points, dtype=torch.float64)
    cell = float((axis[1] - axis[0]) ** dimensions)
    return torch.cartesian_prod(*([axis] * dimensions)).reshape(-1, dimensions), cell


def condition_of(model: Model, rows: int) -> Tensor | None:
    one = random_condition(model, 1, torch.Generator().manual_seed(5))
    return None if one is None else one.expand(rows, *one.shape[1:])


@pytest.mark.parametrize("name", CASES)
@torch.no_grad()
def test_integrates_to_one(name: str) -> None:
    model = random_model(CASES[name], spread=0.1)
    dimensions = model.data.size
    points, cell = grid(-2, 3, 9001 if dimensions == 1 else 120 if name.endswith("image") else 600, dimensions)
    density = model.log_weight(points, (), condition_of(model, len(points))).exp()
    torch.testing.assert_close(density.sum() * cell, torch.tensor(1.0, dtype=torch.float64), rtol=0, atol=1e-4)


@torch.no_grad()
def test_joint_with_padding_integrates_to_one_by_quadrature_over_x_and_padding() -> None:
    """The integral over x in 1-D and the padding noise in 1-D of exp(log_weight) N(noise), for a vector condition."""
    vector = {"kind": "vector", "size": 1}
    config = JointConfig(**ONE, condition=vector, padding=1, epsilon=0.6, padding_sigma=1.0, **UNSCALED)
    model = random_model(config, spread=0.1)
    points, cell = grid(-7, 8, 900, 2)
    noise = points[:, 1:]
    log_joint = model.log_weight(points[:, :1], (noise,), condition_of(model, len(points)))
    log_normal = torch.distributions.Normal(0.0, 1.0).log_prob(noise).sum(1)
    total = (log_joint + log_normal).exp().sum() * cell
    torch.testing.assert_close(total, torch.tensor(1.0, dtype=torch.float64), rtol=0, atol=1e-4)


@torch.no_grad()
def test_joint_with_label_and_padding_integrates_to_one_by_quadrature() -> None:
    """The same for a label: x in 2-D and one padding dimension."""
    label, smooth = {"kind": "label", "classes": 2}, {"width": 16, "activation": "silu"}
    settings = {**UNSCALED, "conditioner": smooth}
    config = JointConfig(**TWO, condition=label, padding=1, epsilon=0.6, padding_sigma=1.0, **settings)
    model = random_model(config, spread=0.1)
    points, cell = grid(-7, 8, 80, 3)
    noise = points[:, 2:]
    log_joint = model.log_weight(points[:, :2], (noise,), condition_of(model, len(points)))
    log_normal = torch.distributions.Normal(0.0, 1.0).log_prob(noise).sum(1)
    total = (log_joint + log_normal).exp().sum() * cell
    torch.testing.assert_close(total, torch.tensor(1.0, dtype=torch.float64), rtol=0, atol=1e-4)


@pytest.mark.parametrize("preprocessing", [({"kind": "dequantize"},), None])
@torch.no_grad()
def test_masses_of_integers_sum_to_one(preprocessing: Any) -> None:
    """The sum over k of the integral over u in [0, 1] of p(k + u): what quadrature over the noise gives."""
    config = CouplingConfig(
        data={"shape": (1,), "levels": 4}, blocks=3, conditioner={"width": 16}, preprocessing=preprocessing
    )
    model = random_model(config, spread=0.1)
    points, inside = 4000, 4 if preprocessing is None else 40  # without the logit, mass also lies off the integers
    noise = ((torch.arange(points, dtype=torch.float64) + 0.5) / points).reshape(-1, 1)
    levels = torch.arange(-(inside - 4) // 2, inside - (inside - 4) // 2, dtype=torch.float64)
    masses = [model.log_weight(level.expand(points, 1), (noise,), None).exp().mean() for level in levels]
    expected = torch.tensor(1.0, dtype=torch.float64)
    torch.testing.assert_close(
        torch.stack(masses).sum(), expected, rtol=0, atol=2e-3 if preprocessing is None else 1e-6
    )
