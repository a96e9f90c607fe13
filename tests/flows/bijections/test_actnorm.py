from __future__ import annotations

import pytest
import torch

from flows.bijections.actnorm import ActNorm
from flows.bijections.composition import Composition
from flows.condition import Condition
from tests.flows.bijections import checks

NONE = Condition.none()


@pytest.mark.parametrize("training", [True, False])
def test_passes_do_not_initialise(training: bool) -> None:
    layer = ActNorm(3).train(training)
    x = 5 + 3 * torch.randn(100, 3)
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    z, _ = layer(x, NONE)
    layer.inverse(x, NONE)
    assert torch.equal(z, x)
    for name, value in layer.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_initialize_standardises_the_batch() -> None:
    layer, x = ActNorm(3), 5 + torch.tensor([0.1, 1.0, 30.0]) * torch.randn(100, 3)
    layer.initialize(x, NONE)
    z = layer(x, NONE)[0].detach()
    checks.close(z.mean(0), torch.zeros(3), 1e-4)
    checks.close(z.std(0, correction=0), torch.ones(3), 1e-4)


def test_initialises_once_and_not_after_a_load() -> None:
    layer, other = ActNorm(2), ActNorm(2)
    layer.initialize(torch.randn(10, 2), NONE)
    other.load_state_dict(layer.state_dict())
    before = other.log_scale.clone()
    other.initialize(100 * torch.randn(10, 2), NONE)
    assert torch.equal(other.log_scale, before)


def test_a_constant_feature_keeps_its_scale() -> None:
    layer = ActNorm(2)
    layer.initialize(torch.tensor([[1.0, 7.0], [3.0, 7.0]]), NONE)
    assert layer.log_scale[1] == 0
    assert layer.shift[1] == -7


@pytest.mark.parametrize("rows", [0, 1])
def test_one_row_is_not_enough(rows: int) -> None:
    with pytest.raises(ValueError, match="x: ActNorm needs at least 2 rows"):
        ActNorm(2).initialize(torch.ones(rows, 2), NONE)


def test_a_composition_initialises_each_on_what_reaches_it() -> None:
    x = 5 + 3 * torch.randn(100, 2)
    layers = [ActNorm(2), ActNorm(2)]
    composition = Composition(layers)
    composition.initialize(x, NONE)
    assert all(layer.initialized for layer in layers)
    checks.close(layers[1].log_scale.detach(), torch.zeros(2), 1e-5)


def test_a_composition_of_constant_volumes_alone_has_a_log_det_per_row() -> None:
    composition, x = Composition([ActNorm(2), ActNorm(2)]), torch.randn(100, 2)
    composition.initialize(x, NONE)
    checks.check_log_det(composition.double(), x[:3].double(), NONE)
    z, log_det = composition(x.double(), NONE)
    assert log_det.shape == composition.inverse(z, NONE)[1].shape == (100,)
