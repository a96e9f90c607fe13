"""What the tests of steps share: phases of small fits, their gradients, their ends, and a recording without a card."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from tests.training.conftest import shaped, tiny
from tests.training.small_models import LATENT
from tests.training.test_resume import assert_equal_trees
from training.callbacks import LAST, Interrupted
from training.checkpoint_io import load
from training.datasets.base import Dataset
from training.feed import feed
from training.fit import fit
from training.gradients import Gradients
from training.modelling import fresh_model
from training.module import FitModule
from training.optimizers import optimizer_of, parameters_of
from training.order import Order
from training.phase import Phase, Prepared
from training.phases import phases
from training.recipe import Recipe
from training.settings import Step

CPU = torch.device("cpu")
STAGE = {"batch": 16, "epochs": 1, "augmentation": {"shift": 1}}
THROUGH: dict[str, Any] = {
    "data": {"set": "digits"},
    "model": LATENT | {"gradient": "through"},
    "fit": {
        "batch": 16,
        "epochs": 1,
        "reconstructed": 0.5,
        "gradient_weight": 1.0,
        "feature_weight": 1.0,
        "augmentation": {"shift": 1, "erase": 0.5, "erase_sides": [1, 3], "share": 0.5},
        "perception": STAGE,
        "settling": {"batch": 16, "epochs": 1},
        "decoder": {"batch": 16, "epochs": 1, "feature_weight": 1.0},
    },
}
RECIPES: dict[str, Recipe] = {
    "through": tiny(**THROUGH),
    "bf16": tiny(
        model__conditioner={"width": 16, "depth": 1, "dropout": 0.1}, fit__precision="bf16", fit__padding="fixed"
    ),
}


def each_phase(recipe: Recipe) -> Iterator[tuple[Phase, Prepared]]:
    """Prepared in order, in training mode."""
    dataset = shaped(recipe)
    model = fresh_model(recipe, dataset)
    for phase in phases(recipe, dataset, model):
        prepared = phase.prepare(CPU)
        prepared.objective.module.train()
        prepared.objective.start(prepared.train.slice(0, 16))
        yield phase, prepared
        prepared.objective.module.eval()


def gradients_of(phase: Phase, prepared: Prepared, way: Step, device: torch.device = CPU) -> Gradients:
    """Of a phase, in that way; compiled without a compiler."""
    optimizer = optimizer_of(prepared.objective.module.parameters(), phase.loop, fused=False)
    order = Order(len(prepared.train), 16, 0)
    rows = feed(prepared.train, order)
    made = Gradients(prepared.objective, rows, parameters_of(optimizer), phase.loop, device, way, backend="eager")
    made.prepare(0)
    return made


def result(gradients: Gradients, step: int) -> list[Tensor]:
    """Terms and gradients of a step."""
    gradients(step, 5 + step)
    return [gradients.terms.clone(), *(p.grad.clone() for p in gradients.parameters if p.grad is not None)]


class Killed(Exception):
    """The fit is gone."""


class Kill(Callback):
    """Behind a step, whose checkpoint is not written any more."""

    def __init__(self, step: int = 9) -> None:
        self.step = step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Raises Killed."""
        if batch == self.step:
            self.end(cast(FitModule, pl_module))

    def end(self, module: FitModule) -> None:
        """At once."""
        raise Killed


class Interrupt(Kill):
    """Ctrl-C in a step."""

    def end(self, module: FitModule) -> None:
        """The fit leaves a checkpoint first."""
        signal.raise_signal(signal.SIGINT)


def state_at_the_end(recipe: Recipe, dataset: Dataset, folder: Path, end: Kill) -> dict[str, Any]:
    """The checkpoint of a fit that `end` ended.

    Asserts that it holds finite weights, and that the fit goes on from it to the very same checkpoint, optimizer, guard
    and sums, that one that was not ended comes to.
    """
    raised = Interrupted if isinstance(end, Interrupt) else Killed

    def run(name: str, *callbacks: Callback, resume: bool = False) -> dict[str, Any]:
        fit(recipe, dataset, folder / name, callbacks=callbacks, resume=resume, say=lambda text: None)
        state: dict[str, Any] = load(folder / name / "flow" / LAST)
        return state

    whole = run("whole")
    with pytest.raises(raised):
        run("ended", end)
    ended: dict[str, Any] = load(folder / "ended" / "flow" / LAST)
    assert all(bool(value.isfinite().all()) for value in ended["state_dict"].values())
    resumed = run("ended", resume=True)
    for part in ("state_dict", "optimizer_states", "fit"):
        assert_equal_trees(resumed[part], whole[part])
    return ended


class Recording:
    """A CUDA graph's bargain on the CPU: a replay writes where the recorded run wrote, and nowhere else."""

    def __init__(self, gradients: Gradients) -> None:
        self.gradients = gradients
        self.terms, self.bad = gradients.terms, gradients.bad
        self.grads = [parameter.grad for parameter in gradients.parameters]

    def replay(self) -> None:
        """Run again, and put what came out where the recording has it."""
        gradients = self.gradients
        others = [parameter.grad for parameter in gradients.parameters]
        gradients._compute()
        self.terms.copy_(gradients.terms)
        self.bad.copy_(gradients.bad)
        for parameter, grad, other in zip(gradients.parameters, self.grads, others, strict=True):
            if grad is not None and parameter.grad is not None:
                grad.copy_(parameter.grad)
            parameter.grad = other
        gradients.terms, gradients.bad = self.terms, self.bad


def recorded(compute: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """In place of `training.capture.captured`."""
    compute()
    compute()
    return Recording(compute.__self__).replay  # type: ignore[attr-defined]
