"""A loss that is not finite: the last good weights come back, the rate falls, and in the end the fit gives up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.training.conftest import tiny
from tests.training.stepping import Interrupt, Kill, state_at_the_end
from training import datasets
from training.averaging import Average
from training.callbacks import LAST, Interrupted
from training.checkpoint_io import load
from training.datasets.base import Dataset, Split
from training.errors import FitError
from training.fit import fit
from training.guard import Guard
from training.module import FitModule
from training.order import Order
from training.seeds import derive

RECIPE = tiny(fit__batch=100, fit__steps_per_epoch=None, model__preprocessing=[])  # 24 steps see every row once
SELDOM = RECIPE.model_copy(update={"fit": RECIPE.fit.model_copy(update={"checkpoint_steps": 500})})


def poisoned(steps: list[int]) -> Dataset:
    """NaN in one row of each of those steps of the first epoch. They come up once in every epoch."""
    dataset = datasets.load(RECIPE.data)
    x = dataset.train.x.copy()
    order = Order(len(x), 100, derive(RECIPE.seed, "order"))
    for step in steps:
        x[int(order(step)[0])] = np.nan
    return replace(dataset, train=Split(x, dataset.train.condition))


def test_a_poisoned_batch_is_survived_and_said(folder: Path) -> None:
    said: list[str] = []
    fitted = fit(RECIPE, poisoned([10]), folder, say=said.append)
    assert len(said) == 3  # once in each of three epochs
    assert "not finite at step 10: the last good weights are back" in said[0] and "0.3 of" in said[0]
    assert "(3 of 3)" in said[2]
    assert np.isfinite(fitted.validation_loss)
    assert all(bool(value.isfinite().all()) for value in fitted.model.state_dict().values())
    assert load(folder / "flow" / LAST)["fit"]["restorations"] == 3


def test_after_three_restorations_it_stops(folder: Path) -> None:
    with pytest.raises(FitError, match=r"not finite at step .*, after the weights were restored .* 3 times"):
        fit(RECIPE, poisoned([2, 5, 9, 14]), folder, say=lambda text: None)


def test_restoring_brings_back_weights_and_optimizer_state() -> None:
    module = nn.Linear(2, 1)
    optimizer = torch.optim.AdamW(module.parameters())
    average = Average(module, 0.9)
    guard = Guard(module, optimizer, average)

    def step(value: float) -> None:
        optimizer.zero_grad()
        (module(torch.full((3, 2), value)).sum()).backward()
        optimizer.step()
        average.update()

    step(1.0)
    guard.keep()
    good = {name: value.clone() for name, value in module.state_dict().items()}
    moment = optimizer.state[module.weight]["exp_avg"].clone()
    averaged = average.values["weight"].clone()
    step(float("nan"))
    assert module.weight.isnan().any() and average.values["weight"].isnan().any()
    assert "step 7" in guard.restore(7)
    assert all(torch.equal(value, good[name]) for name, value in module.state_dict().items())
    assert torch.equal(optimizer.state[module.weight]["exp_avg"], moment)
    assert torch.equal(average.values["weight"], averaged) and average.updates == 1
    assert guard.factor == pytest.approx(0.3)
    step(float("nan"))
    guard.restore(8)
    assert guard.factor == pytest.approx(0.09) and torch.equal(module.weight, good["weight"])


@pytest.mark.parametrize(("end", "position"), [(Interrupt(6), 7), (Kill(9), 8)], ids=["Ctrl-C", "kill"])
def test_a_fit_that_goes_on_goes_back_to_the_same_weights(tmp_path: Path, end: Kill, position: int) -> None:
    """Ended between two checkpoints, a few steps before the bad one."""
    assert state_at_the_end(RECIPE, poisoned([10]), tmp_path, end)["fit"]["position"] == position


class Spoil(Interrupt):
    """Weights that a step has made infinite, and Ctrl-C."""

    def end(self, module: FitModule) -> None:
        with torch.no_grad():
            next(module.fitted.parameters()).fill_(float("inf"))
        super().end(module)


def test_spoilt_weights_are_not_what_ctrl_c_leaves(folder: Path) -> None:
    """The fit goes on for the step in which the guard finds out."""
    with pytest.raises(Interrupted, match="stopped after step 8 of 72"):
        fit(SELDOM, datasets.load(RECIPE.data), folder, callbacks=[Spoil(6)], say=lambda text: None)
    state = load(folder / "flow" / LAST)
    assert state["fit"]["restorations"] == 1
    assert all(bool(value.isfinite().all()) for value in state["state_dict"].values())


def test_a_validation_that_is_never_finite_is_an_error(folder: Path) -> None:
    dataset = datasets.load(RECIPE.data)
    spoilt = replace(
        dataset, validation=Split(np.full_like(dataset.validation.x, np.nan), dataset.validation.condition)
    )
    with pytest.raises(FitError, match="validation loss was never finite"):
        fit(RECIPE, spoilt, folder, say=lambda text: None)
