"""Conditioner trunks in bfloat16, while everything a log-determinant is made of stays in float32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, get_args

import torch
from torch import nn

from flows.conditioners.base import Conditioner

Precision = Literal["float32", "bf16"]


def set_precision(model: nn.Module, precision: Precision) -> None:
    """Let every conditioner in `model` compute h = trunk(u, c) in that precision, from now on.

    With `bf16` the products of the trunk take their factors rounded to bfloat16 (8 significant bits) and add up in
    float32; the parameters h W + b that the trunk ends in, the bijections, their log-determinants and the base
    densities stay in float32. Weights stay as they are, float32 unless `round_weights` is called: gradients reach
    them in float32 (master weights).

    Raises ValueError for an unknown precision.

    >>> from flows.condition import Condition, ConditionShape
    >>> from flows.conditioners.mlp import MLP
    >>> network = MLP(2, 4, ConditionShape(), width=8)
    >>> set_precision(network, "bf16")
    >>> network(torch.ones(1, 2), Condition.none()).dtype
    torch.float32
    """
    if precision not in get_args(Precision):
        raise ValueError(f"precision: expected one of {', '.join(get_args(Precision))}, got {precision!r}")
    for module in _conditioners(model):
        module.lowered = None if precision == "float32" else torch.bfloat16


@contextmanager
def in_precision(model: nn.Module, precision: Precision) -> Iterator[None]:
    """Inside, `model` computes as `set_precision` says; afterwards each conditioner as it did before."""
    before = [(module, module.lowered) for module in _conditioners(model)]
    set_precision(model, precision)
    try:
        yield
    finally:
        for module, lowered in before:
            module.lowered = lowered


@torch.no_grad()
def round_weights(model: nn.Module) -> None:
    """Keep the trunks' weights in bfloat16, for inference: half the bytes, and no rounding of them at each call.

    The answers are those of `set_precision(model, "bf16")`, which this includes; float32 weights are gone.
    """
    set_precision(model, "bf16")
    for module in _conditioners(model):
        last = {id(parameter) for parameter in module.last.parameters()}
        for parameter in module.parameters():
            if id(parameter) not in last:
                parameter.data = parameter.data.to(torch.bfloat16)


def _conditioners(model: nn.Module) -> Iterator[Conditioner]:
    return (module for module in model.modules() if isinstance(module, Conditioner))
