"""What only a card can show: that a recorded step is the step, and that the host does not wait for it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.training.conftest import tiny
from tests.training.stepping import RECIPES, Kill, Killed, each_phase
from tests.training.test_guard import RECIPE, poisoned
from tests.training.test_resume import assert_equal_trees
from training import datasets
from training.callbacks import LAST
from training.checkpoint_io import load
from training.feed import Streamed, feed
from training.fit import fit
from training.gradients import Gradients, kept_buffers
from training.optimizers import optimizer_of, parameters_of
from training.order import Order
from training.rows import Rows
from training.settings import Step

CARD = torch.device("cuda:0")
pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def gradients_on_card(name: str, way: Step, host: bool = False) -> tuple[Gradients, torch.nn.Module]:
    phase, prepared = next(each_phase(RECIPES[name]))
    module = prepared.objective.module.to(CARD)
    whole = prepared.train
    train = Rows(whole.x, whole.condition, CARD) if host else whole.to(CARD)
    optimizer = optimizer_of(module.parameters(), phase.loop, fused=True)
    rows = feed(train, Order(len(train), 16, 0))
    made = Gradients(prepared.objective, rows, parameters_of(optimizer), phase.loop, CARD, way)
    made.prepare(0)
    return made, module


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("host", [False, True])
def test_a_replay_is_the_step(name: str, host: bool) -> None:
    """Seeds and rows reach the graph: each step has its own numbers, and the eager step's."""
    eager, module = gradients_on_card(name, "eager")
    graphed, other = gradients_on_card(name, "graphed", host)
    assert isinstance(graphed.feed, Streamed) is host
    losses = []
    with kept_buffers(module), kept_buffers(other):
        for step in range(4):
            eager(step, step)
            graphed(step, step)
            torch.testing.assert_close(graphed.terms, eager.terms, rtol=1e-3, atol=1e-3)
            for mine, theirs in zip(graphed.parameters, eager.parameters, strict=True):
                if theirs.grad is not None:
                    torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-2, atol=1e-3)
            losses.append(graphed.terms[0].item())
    assert len(set(losses)) == 4


@pytest.mark.parametrize("way", ["eager", "graphed"])
def test_the_host_never_waits_for_a_step(way: Step) -> None:
    gradients, _ = gradients_on_card("through", way)
    gradients(0, 0)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for step in (1, 2):
            gradients(step, step)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("way", ["auto", "eager", "graphed"])
def test_a_killed_fit_goes_on_to_the_same_weights(tmp_path: Path, way: Step) -> None:
    """Where the way is found by measuring, the one that the checkpoint names is gone on with."""
    recipe = tiny(model__conditioner={"width": 16, "depth": 1, "dropout": 0.1}, fit__step=way)
    dataset = datasets.load(recipe.data)
    with pytest.raises(Killed):
        fit(recipe, dataset, tmp_path / "run", device="cuda", callbacks=[Kill()])
    resumed = fit(recipe, dataset, tmp_path / "run", device="cuda", resume=True)
    settled = tiny(model=recipe.model, fit__step=resumed.ways["flow"])
    whole = fit(settled, dataset, tmp_path / "whole", device="cuda")
    assert resumed.ways == whole.ways and whole.ways["flow"] != "auto"
    assert_equal_trees(resumed.model.state_dict(), whole.model.state_dict())


def test_a_poisoned_batch_is_survived(tmp_path: Path) -> None:
    said: list[str] = []
    fitted = fit(RECIPE, poisoned([10]), tmp_path / "run", device="cuda", say=said.append)
    assert sum("not finite at step" in line for line in said) == 3
    assert all(bool(value.isfinite().all()) for value in fitted.model.state_dict().values())
    assert load(tmp_path / "run" / "flow" / LAST)["fit"]["restorations"] == 3
