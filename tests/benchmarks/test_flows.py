"""The couplings written out by hand compute what the flow computes: else their time would be no bound."""

from __future__ import annotations

import pytest
import torch

from benchmarks.flows.by_hand import ByHand
from benchmarks.flows.configuration import Configuration
from benchmarks.flows.contestants import Condflow
from benchmarks.flows.page import Cell
from flows.bijections.affine import AffineCoupling

ROWS = 5


def flow_and_hand(*, gradients: bool) -> tuple[Condflow, ByHand, Configuration]:
    torch.manual_seed(0)
    config = Configuration("affine")
    flow = Condflow(config)
    with torch.no_grad():
        for weight in flow.module.parameters():
            weight.normal_(std=0.05)
    return flow, ByHand(flow, config, ROWS, gradients=gradients), config


@pytest.mark.parametrize("gradients", [False, True])
def test_by_hand_is_the_same_flow(gradients: bool) -> None:
    flow, hand, config = flow_and_hand(gradients=gradients)
    x, c = torch.randn(ROWS, config.features), torch.randn(ROWS, config.condition)
    with torch.inference_mode():
        torch.testing.assert_close(hand.log_prob(x, c), flow.log_prob(x, c))
        torch.testing.assert_close(hand.sample(x, c), flow.sample(x, c))


def test_gradients_by_hand_are_those_of_autograd() -> None:
    flow, hand, config = flow_and_hand(gradients=True)
    x, c = torch.randn(ROWS, config.features), torch.randn(ROWS, config.condition)
    flow.log_prob(x, c).mean().neg().backward()  # type: ignore[no-untyped-call]
    with torch.inference_mode():
        found = hand.gradients(x, c)
    couplings = [module for module in flow.module.modules() if isinstance(module, AffineCoupling)]
    wanted = [[weight.grad for weight in coupling.conditioner.parameters()] for coupling in couplings]
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize(("by_hand", "goal"), [(0.5, 1.5), (0.85, 1.0)])
def test_more_than_the_fastest_is_asked_only_where_it_is_possible(by_hand: float, goal: float) -> None:
    cell = Cell("affine", 1024, "log_prob", {"condflow": [0.9], "zuko": [1.2], "by hand": [by_hand]}, floor=0.4)
    assert cell.figure().goal == goal
