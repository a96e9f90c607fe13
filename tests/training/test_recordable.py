"""What a card records waits for no value and touches nothing that lies elsewhere: it runs on tensors without values.

A meta tensor has a shape and no numbers. Asking one for a number raises, as it would in a capture, and whatever is made
on another device in a step is seen.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tests.training.stepping import RECIPES, each_phase
from training.gradients import Gradients
from training.optimizers import optimizer_of, parameters_of
from training.rows import Batch, Rows

META = torch.device("meta")


class Elsewhere(TorchDispatchMode):
    """Notes the operations that take or give a tensor of another device."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        tensors = [value for value in tree_leaves((args, kwargs, made)) if isinstance(value, Tensor)]
        if any(tensor.device != META for tensor in tensors):
            self.found.add(str(func))
        return made


class Gathered:
    """The feed of rows on the device, without the order, which is the host's."""

    def __init__(self, rows: Rows, size: int) -> None:
        self.rows, self.index = rows, torch.zeros(size, dtype=torch.int64, device=META)

    def load(self, step: int) -> None:
        """The rows do not matter."""

    def batch(self) -> Batch:
        return self.rows.batch(self.index)


def without_values(thing: Any) -> None:
    """Move every module and tensor that an objective holds, at any depth."""
    for name, value in vars(thing).items():
        if isinstance(value, nn.Module):
            value.to(META)
        elif isinstance(value, dict):
            setattr(thing, name, {key: inner.to(META) for key, inner in value.items()})
        elif type(value).__module__.startswith("training.objectives") or type(value).__module__ == "training.noise":
            without_values(value)


@pytest.mark.parametrize("name", RECIPES)
def test_a_step_waits_for_no_value_and_stays_on_its_device(name: str) -> None:
    """In float32: autocast knows no such device."""
    for phase, prepared in each_phase(RECIPES[name]):
        objective = copy.deepcopy(prepared.objective)
        without_values(objective)
        objective.module.train()
        loop = phase.loop.model_copy(update={"precision": "float32"})
        parameters = parameters_of(optimizer_of(objective.module.parameters(), loop, fused=False))
        rows = Gathered(prepared.train.to(META), 16)
        step = Gradients(objective, rows, parameters, loop, META, "graphed")
        with Elsewhere() as elsewhere:
            step._compute()
        assert elsewhere.found == set(), phase.name
        assert step.terms.device == META
