"""A device that runs ahead of the host: what is not finite changes nothing, and the host finds out at its next look.

The device is the CPU here, told to run ahead: the fused optimizer, the flags and the looks are those of a card.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from tests.training.conftest import tiny
from tests.training.stepping import Interrupt, Kill, Killed, recorded, state_at_the_end
from tests.training.test_guard import RECIPE, poisoned
from tests.training.test_resume import assert_same
from training import datasets
from training.callbacks import LAST
from training.checkpoint_io import load
from training.errors import FitError
from training.fit import fit
from training.module import FitModule
from training.settings import Step

LONG: dict[str, Any] = {"fit__batch": 100, "fit__steps_per_epoch": None, "model__preprocessing": [], "fit__epochs": 4}
QUIET = RECIPE.model_copy(update={"fit": RECIPE.fit.model_copy(update={"checkpoint_steps": 500, "epochs": 1})})
TWICE = RECIPE.model_copy(update={"fit": RECIPE.fit.model_copy(update={"checkpoint_steps": 9, "epochs": 2})})


@pytest.fixture(autouse=True)
def ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.module.runs_ahead", lambda device: True)
    monkeypatch.setattr("training.gradients.captured", recorded)


class Watch(Callback):
    """Weights and Adam's state after each step, and what was said by then."""

    def __init__(self, said: list[str]) -> None:
        self.said = said
        self.states: list[list[torch.Tensor]] = []
        self.told: list[int] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        module = cast(FitModule, pl_module)
        moments = [value for state in module.optimizer.state.values() for value in state.values()]
        self.states.append([value.detach().clone() for value in (*module.fitted.parameters(), *moments)])
        self.told.append(len(self.said))


def same(left: list[torch.Tensor], right: list[torch.Tensor]) -> bool:
    return all(torch.equal(mine, other) for mine, other in zip(left, right, strict=True))


def test_a_step_that_is_not_finite_leaves_weights_and_moments_as_they_were(folder: Path) -> None:
    said: list[str] = []
    watch = Watch(said)
    fit(QUIET, poisoned([10]), folder, say=said.append, callbacks=[watch])
    assert same(watch.states[10], watch.states[9])
    assert not same(watch.states[9], watch.states[8]) and not same(watch.states[11], watch.states[10])
    assert watch.told == [0] * 24  # the host looked at the epoch's end, before the validation
    assert len(said) == 1 and "not finite at step 10: the last good weights are back" in said[0]


def test_the_host_looks_before_a_checkpoint(folder: Path) -> None:
    said: list[str] = []
    watch = Watch(said)
    fit(RECIPE, poisoned([10]), folder, say=said.append, callbacks=[watch])  # a checkpoint every 4 steps
    assert len(said) == 3 and load(folder / "flow" / LAST)["fit"]["restorations"] == 3
    assert watch.told[10] == 0
    assert watch.told[12] == 1


def test_sums_leave_out_what_is_not_finite(folder: Path) -> None:
    fitted = fit(QUIET, poisoned([3, 7]), folder, say=lambda text: None)
    header, row = (line.split(",") for line in fitted.histories["flow"].decode().splitlines())
    assert torch.tensor(float(row[header.index("train_loss")])).isfinite()


def test_after_three_restorations_it_stops(folder: Path) -> None:
    with pytest.raises(FitError, match=r"not finite at step .*, after the weights were restored .* 3 times"):
        fit(tiny(**LONG), poisoned([10]), folder, say=lambda text: None)


@pytest.mark.parametrize("way", ["eager", "graphed", pytest.param("compiled", marks=pytest.mark.full)])
def test_a_killed_fit_goes_on_to_the_very_same_weights(tmp_path: Path, way: Step) -> None:
    recipe = tiny(model__conditioner={"width": 16, "depth": 1, "dropout": 0.1}, fit__patience=50, fit__step=way)
    dataset = datasets.load(recipe.data)
    whole = fit(recipe, dataset, tmp_path / "whole")
    with pytest.raises(Killed):
        fit(recipe, dataset, tmp_path / "run", callbacks=[Kill()])
    assert load(tmp_path / "run" / "flow" / LAST)["fit"]["position"] == 8
    resumed = fit(recipe, dataset, tmp_path / "run", resume=True)
    assert_same(resumed, whole)
    assert resumed.ways == whole.ways == {"flow": way}


@pytest.mark.parametrize(("end", "position"), [(Interrupt(12), 13), (Kill(12), 9)], ids=["Ctrl-C", "kill"])
def test_a_fit_that_ended_before_the_host_saw_the_bad_step_goes_on_as_if_it_had_not(
    tmp_path: Path, end: Kill, position: int
) -> None:
    """Step 10 is bad. The host looks before the checkpoint behind step 17, whether the fit ended meanwhile or not."""
    ended = state_at_the_end(TWICE, poisoned([10]), tmp_path, end)["fit"]
    assert (ended["position"], ended["restorations"]) == (position, 0)
