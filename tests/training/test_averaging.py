"""The moving average against its closed form."""

from __future__ import annotations

import torch
from torch import nn

from training.averaging import Average


def test_closed_form() -> None:
    module = nn.Linear(3, 2)
    decay, weights = 0.5, [torch.full((2, 3), float(step)) for step in range(6)]
    with torch.no_grad():
        module.weight.copy_(weights[0])
    average = Average(module, decay)
    expected = weights[0].clone()
    for step, weight in enumerate(weights[1:]):
        with torch.no_grad():
            module.weight.copy_(weight)
        average.update()
        used = min(decay, (1 + step) / (10 + step))
        expected = used * expected + (1 - used) * weight
        torch.testing.assert_close(average.values["weight"], expected)


def test_swap_exchanges_and_brings_back() -> None:
    module = nn.Linear(3, 2)
    average = Average(module, 0.9)
    with torch.no_grad():
        module.weight.add_(1.0)
    own, kept = module.weight.clone(), average.values["weight"].clone()
    average.swap()
    assert torch.equal(module.weight, kept) and torch.equal(average.values["weight"], own)
    average.swap()
    assert torch.equal(module.weight, own) and torch.equal(average.values["weight"], kept)


def test_running_statistics_are_averaged_and_counters_left() -> None:
    module = nn.BatchNorm1d(2)
    average = Average(module, 0.9)
    assert set(average.values) == {"weight", "bias", "running_mean", "running_var"}


def test_state_round_trip() -> None:
    module = nn.Linear(3, 2)
    average = Average(module, 0.9)
    with torch.no_grad():
        module.weight.add_(1.0)
    average.update()
    other = Average(nn.Linear(3, 2), 0.9)
    other.load_state_dict(average.state_dict())
    assert other.updates == 1 and torch.equal(other.values["weight"], average.values["weight"])
