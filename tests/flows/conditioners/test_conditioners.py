from __future__ import annotations

import pytest
import torch

from flows.condition import Condition, ConditionShape
from flows.conditioners.base import ACTIVATIONS, Activation, Conditioner
from flows.conditioners.mlp import MLP
from flows.conditioners.residual import ResidualMLP
from tests.flows.bijections import catalogue

every = pytest.mark.parametrize("conditioner", [MLP, ResidualMLP])


@every
@pytest.mark.parametrize("kind", catalogue.KINDS)
@pytest.mark.parametrize("inputs", [0, 1, 5])
@pytest.mark.parametrize("rows", [0, 1, 9])
def test_shapes_and_zero_start(conditioner: type[Conditioner], kind: str, inputs: int, rows: int) -> None:
    network = conditioner(inputs, 4, catalogue.condition_shape(kind), width=8)
    output = network(torch.randn(rows, inputs), catalogue.condition(kind, rows, torch.float32))
    assert torch.equal(output, torch.zeros(rows, 4))


@every
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_learns(conditioner: type[Conditioner], activation: Activation) -> None:
    network = conditioner(3, 4, ConditionShape(2), width=8, activation=activation)
    catalogue.randomize(network)
    u = torch.randn(5, 3, requires_grad=True)
    network(u, Condition(vector=torch.randn(5, 2))).sum().backward()
    assert u.grad is not None
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in network.parameters())


@every
def test_dropout_is_off_in_eval(conditioner: type[Conditioner]) -> None:
    network = conditioner(3, 4, ConditionShape(), width=64, dropout=0.5)
    catalogue.randomize(network)
    u = torch.randn(5, 3)
    network.train()
    assert not torch.equal(network(u, Condition.none()), network(u, Condition.none()))
    network.eval()
    assert torch.equal(network(u, Condition.none()), network(u, Condition.none()))


@every
def test_inputs_are_left_as_they_were(conditioner: type[Conditioner]) -> None:
    network = catalogue.randomize(conditioner(3, 4, ConditionShape(), width=8))
    u = torch.randn(5, 3)
    before = u.clone()
    network(u, Condition.none())
    assert torch.equal(u, before)


@every
def test_a_condition_that_does_not_fit_is_refused(conditioner: type[Conditioner]) -> None:
    with pytest.raises(ValueError, match="condition: expected a vector of 2 features"):
        conditioner(3, 4, ConditionShape(2))(torch.ones(1, 3), Condition.none())
    with pytest.raises(ValueError, match="condition: expected none"):
        conditioner(3, 4, ConditionShape())(torch.ones(1, 3), Condition(vector=torch.ones(1, 2)))
    with pytest.raises(ValueError, match="condition: expected features"):
        conditioner(3, 4, ConditionShape(channels=2))


@every
@pytest.mark.parametrize(("name", "value"), [("activation", "softmax"), ("dropout", 1.0), ("dropout", -0.1)])
def test_bad_settings_are_refused(conditioner: type[Conditioner], name: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"{name}: expected"):
        conditioner(3, 4, ConditionShape(), **{name: value})
