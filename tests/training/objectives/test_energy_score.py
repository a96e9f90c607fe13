"""The decoder's draws are spread as what the latent leaves open is."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from flows import build
from flows.config import LatentConfig
from flows.models.latent import LatentFlow
from training.objectives.energy_score import EnergyScore, NormOfPlaces
from training.objectives.perception import Perception
from training.rows import Batch
from training.settings import Loop

STAGE = Loop(latent_noise=0.0, feature_weight=1.0)
SHAPE = (1, 8, 8)


def objective_of(detail: int, stage: Loop = STAGE) -> EnergyScore:
    torch.manual_seed(0)
    encoder = {"channels": (), "kernels": (), "residual": (), "dense": (4,), "decoder_channels": (8, 8)}
    config = LatentConfig(
        data={"shape": SHAPE},
        condition={"kind": "label", "classes": 2},
        autoencoder=encoder | {"latent": 2, "detail": detail, "seed_channels": 8},
        flow={"family": "joint", "blocks": 1, "conditioner": {"width": 8}},
    )
    model = build(config)
    assert isinstance(model, LatentFlow)
    return EnergyScore(model, Perception(SHAPE, 2), stage)


def test_the_gradient_of_norms_of_places_is_that_of_autograd_and_nought_where_draws_are_equal() -> None:
    torch.manual_seed(0)
    values = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(NormOfPlaces.apply, (values,))
    with torch.no_grad():
        values[0, :, 1] = 0
    NormOfPlaces.apply(values).sum().backward()
    assert values.grad is not None
    torch.testing.assert_close(values.grad[0, :, 1], torch.zeros(3, dtype=torch.float64))
    torch.testing.assert_close(values.grad[1], (values / values.norm(dim=1, keepdim=True))[1].detach())


def batch_of(x: Tensor, latent: Tensor) -> Batch:
    return Batch(x, latent, torch.arange(len(x)))


def test_it_is_half_the_way_to_the_image_less_half_the_way_between_two_draws() -> None:
    objective = objective_of(detail=3)
    objective.module.eval()
    with torch.no_grad():
        next(value for key, value in objective.module.named_parameters() if "detail" in key).normal_()
    x, u = torch.rand(5, *SHAPE), torch.randn(5, 2)
    torch.manual_seed(7)
    terms = objective(batch_of(x, u))
    torch.manual_seed(7)
    decode = objective.model.autoencoder.decode
    both = decode(u.repeat(2, 1), torch.randn(10, 3))
    first, second = both[:5], both[5:]
    near = (between(objective, first, x, x) + between(objective, second, x, x)) / 2
    apart = between(objective, first, second, x)
    assert apart > 0
    torch.testing.assert_close(terms["near"], near, rtol=1e-4, atol=0)
    torch.testing.assert_close(terms["apart"], apart, rtol=1e-4, atol=0)
    torch.testing.assert_close(terms["loss"], near - apart / 2, rtol=1e-4, atol=0)


def between(objective: EnergyScore, a: Tensor, b: Tensor, x: Tensor) -> Tensor:
    """The distance by loops: pixels and layers, each whole and place by place."""
    total = 0.0
    triples = [(a, b, x), *zip(*(objective.perception.features(image) for image in (a, b, x)), strict=True)]
    for one, other, reference in triples:
        views = [[value.flatten(1) for value in (one, other, reference)]]
        if one.shape[1] == 1:  # the image: every second patch of 4 x 4
            corners = [(i, j) for i in range(0, 5, 2) for j in range(0, 5, 2)]
            views.append([patches(value, corners) for value in (one, other, reference)])
        elif one.ndim == 4:
            views.append([value.permute(0, 2, 3, 1).reshape(-1, value.shape[1]) for value in (one, other, reference)])
        for left, right, scale in views:
            size = (scale**2).sum(1).mean().sqrt()
            total += torch.linalg.vector_norm(left - right, dim=1).mean() / size
    return total


def patches(image: Tensor, corners: list[tuple[int, int]]) -> Tensor:
    return torch.cat([image[:, :, i : i + 4, j : j + 4].flatten(1) for i, j in corners])


@pytest.mark.parametrize(("detail", "spread"), [(4, True), (0, False)])
def test_a_latent_that_leaves_two_images_open_is_decoded_to_both(detail: int, spread: bool) -> None:
    """x is one of two images whatever u is: draws lie near one or the other, and near both in equal parts."""
    objective = objective_of(detail)
    dark, bright = torch.zeros(SHAPE), torch.zeros(SHAPE)
    dark[:, :4], bright[:, 4:] = 1.0, 1.0
    optimizer = torch.optim.Adam(objective.module.parameters(), 0.01)
    objective.module.train()
    for _ in range(150):
        which = torch.rand(64, 1, 1, 1) < 0.5
        x = torch.where(which, dark, bright)
        optimizer.zero_grad()
        objective(batch_of(x, torch.randn(64, 2)))["loss"].backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    objective.module.eval()
    with torch.no_grad():
        drawn = objective.model.autoencoder.decode(torch.randn(500, 2), torch.randn(500, detail))
    upper = drawn[:, :, :4].mean((1, 2, 3))
    undecided = ((upper - 0.5).abs() < 0.3).float().mean()
    assert (undecided < 0.3) == spread
    if spread:
        assert 0.35 < (upper > 0.5).float().mean() < 0.65


def test_gradients_go_to_the_decoder_alone() -> None:
    objective = objective_of(detail=3)
    objective(batch_of(torch.rand(5, *SHAPE), torch.randn(5, 2)))["loss"].backward()  # type: ignore[no-untyped-call]
    assert all(weight.grad is None for weight in objective.perception.parameters())
    assert all(weight.grad is None for weight in objective.model.autoencoder.encoder.parameters())
    assert all(weight.grad is not None for weight in objective.module.parameters())
