"""Trunks in bfloat16: what is rounded, what is not, and what it does to a density."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from flows.bijections.base import Bijection
from flows.condition import Condition, ConditionShape
from flows.conditioners.base import Conditioner
from flows.conditioners.mlp import MLP
from flows.conditioners.precision import in_precision, round_weights, set_precision
from flows.conditioners.residual import ResidualMLP
from flows.models.base import Model
from flows.models.coupling import ConditionalCouplingFlow
from flows.models.joint import JointFlow
from tests.flows.bijections.catalogue import randomize
from tests.flows.models.catalogue import CATALOGUE, random_inputs, random_latent, random_model

NAMES = ("joint-label", "joint-partitioned", "coupling-label", "coupling-vector")
UNIT = 2**-8  # of the last place of bfloat16, relative
every = pytest.mark.parametrize("conditioner", [MLP, ResidualMLP])
families = pytest.mark.parametrize("name", NAMES)


def network(conditioner: type[Conditioner]) -> tuple[Conditioner, Tensor, Condition]:
    torch.manual_seed(0)
    made = randomize(conditioner(3, 4, ConditionShape(2), width=32))
    return made, torch.randn(64, 3), Condition(vector=torch.randn(64, 2))


def model_of(name: str) -> Model:
    return random_model(CATALOGUE[name], dtype=torch.float32)


def parts(model: Model, condition: Tensor | None) -> tuple[Bijection, Condition]:
    """The stack of couplings, and what it is given."""
    assert isinstance(model, JointFlow | ConditionalCouplingFlow)
    return model.bijection, Condition.none() if isinstance(model, JointFlow) else model.embedding(condition)


def log_det(model: Model, z: Tensor, condition: Tensor | None) -> Tensor:
    bijection, given = parts(
        model, condition if condition is None or not condition.is_floating_point() else condition.to(z.dtype)
    )
    value: Tensor = bijection(z, given)[1]
    return value


@every
def test_the_trunk_is_rounded_and_the_last_product_is_not(conditioner: type[Conditioner]) -> None:
    made, u, c = network(conditioner)
    exact, columns = made(u, c), made.columns(u, c)
    with in_precision(made, "bf16"):
        lowered, lowered_columns = made(u, c), made.columns(u, c)
    assert lowered.dtype == torch.float32
    error = (lowered - exact).abs().max() / exact.abs().max()
    assert UNIT / 100 < error < 8 * UNIT
    assert not torch.equal(lowered, lowered.bfloat16().float())
    torch.testing.assert_close(lowered_columns.t(), lowered)
    assert torch.equal(made(u, c), exact) and torch.equal(made.columns(u, c), columns)  # outside all is as it was


@every
def test_gradients_reach_float32_weights(conditioner: type[Conditioner]) -> None:
    made, u, c = network(conditioner)
    made(u, c).square().sum().backward()
    exact = [parameter.grad for parameter in made.parameters()]
    made.zero_grad()
    with in_precision(made, "bf16"):
        made(u, c).square().sum().backward()
    for parameter, wanted in zip(made.parameters(), exact, strict=True):
        assert parameter.dtype == torch.float32 and parameter.grad is not None and wanted is not None
        assert parameter.grad.dtype == torch.float32
        assert (parameter.grad - wanted).norm() < 16 * UNIT * wanted.norm()


@families
def test_the_log_determinant_stays_that_of_the_map_in_float32(name: str) -> None:
    """What is rounded is the map, the same both ways: round trips and log_dets keep the accuracy of float32."""
    model = model_of(name)
    set_precision(model, "bf16")
    x, noise, condition = random_inputs(model, 64)
    with torch.no_grad():
        latent = model.encode(x, noise, condition)
        torch.testing.assert_close(model.decode(latent, condition), x, rtol=1e-3, atol=1e-3)
        bijection, given = parts(model, condition)
        back, downwards = bijection.inverse(torch.cat(random_latent(model, 64), 1), given)
        _, upwards = bijection(back, given)
    assert downwards.dtype == upwards.dtype == torch.float32
    torch.testing.assert_close(upwards, -downwards, rtol=1e-4, atol=1e-4)


@families
def test_the_log_determinant_differs_from_float64_by_the_rounding_of_the_trunk(name: str) -> None:
    """Measured over 256 rows: at most 0.01 to 0.08 nats in bfloat16, and below 1e-5 in float32."""
    model = model_of(name)
    exact = copy.deepcopy(model).double()
    z, (_, _, condition) = torch.cat(random_latent(model, 256), 1), random_inputs(model, 256)
    with torch.no_grad():
        wanted = log_det(exact, z.double(), condition)
        plain = log_det(model, z, condition)
        with in_precision(model, "bf16"):
            lowered = log_det(model, z, condition)
    error, floor = ((value - wanted).abs().max().item() for value in (lowered, plain))
    assert floor < 1e-4 < 1e-3 < error < 0.2


@families
def test_rounded_weights_answer_the_same(name: str) -> None:
    model = model_of(name)
    inputs = random_inputs(model, 16)
    with torch.no_grad(), in_precision(model, "bf16"):
        wanted = model.log_weight(*inputs)
    rounded = copy.deepcopy(model)
    round_weights(rounded)
    with torch.no_grad():
        assert torch.equal(rounded.log_weight(*inputs), wanted)
    kinds = {parameter.dtype for parameter in rounded.parameters()}
    assert kinds == {torch.bfloat16, torch.float32}
    assert all(module.last.weight.dtype == torch.float32 for module in rounded.modules() if hasattr(module, "last"))


@families
def test_no_graph_breaks(name: str) -> None:
    model = model_of(name)
    set_precision(model, "bf16")
    inputs = random_inputs(model, 8)
    torch.compiler.reset()
    compiled = torch.compile(model.log_weight, fullgraph=True, backend="eager")
    assert torch.equal(compiled(*inputs), model.log_weight(*inputs))


def test_an_unknown_precision() -> None:
    with pytest.raises(ValueError, match="precision: expected one of float32, bf16, got 'half'"):
        set_precision(model_of(NAMES[0]), "half")  # type: ignore[arg-type]
