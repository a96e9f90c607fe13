"""A step's gradients are the same in every way that it may run."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.training.conftest import tiny
from tests.training.stepping import CPU, RECIPES, each_phase, gradients_of, recorded, result
from training import datasets
from training.fit import Fitted, fit
from training.gradients import kept_buffers
from training.recipe import Recipe
from training.settings import Step
from training.ways import fastest


def assert_same(ours: list[torch.Tensor], theirs: list[torch.Tensor]) -> None:
    assert len(ours) == len(theirs) > 1
    assert all(torch.equal(mine, other) for mine, other in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("way", ["compiled", "graphed"])
def test_the_same_bits_in_every_phase(name: str, way: Step) -> None:
    """Compiled in one graph each: an objective that breaks it in two is an error."""
    torch.compiler.reset()
    for phase, prepared in each_phase(RECIPES[name]):
        with kept_buffers(prepared.objective.module):
            wanted = [result(gradients_of(phase, prepared, "eager"), step) for step in (0, 1)]
        gradients = gradients_of(phase, prepared, way)
        for step in (0, 1):
            assert_same(result(gradients, step), wanted[step])


def test_preparing_leaves_running_statistics_as_they_are() -> None:
    phase, prepared = next(each_phase(RECIPES["through"]))
    before = {name: buffer.clone() for name, buffer in prepared.objective.module.named_buffers()}
    gradients = gradients_of(phase, prepared, "graphed")
    after = dict(prepared.objective.module.named_buffers())
    assert before and all(torch.equal(after[name], value) for name, value in before.items())
    gradients(0, 0)
    assert not all(torch.equal(after[name], value) for name, value in before.items())


def test_a_step_that_is_not_finite_counts_for_nothing_and_says_so() -> None:
    phase, prepared = next(each_phase(RECIPES["bf16"]))
    gradients = gradients_of(phase, prepared, "eager")
    gradients(0, 0)
    assert gradients.bad.item() == 0 and gradients.terms[-1].item() == 1
    prepared.train.x[gradients.feed.batch().rows[3]] = torch.nan
    gradients(0, 0)
    assert gradients.bad.item() == 1 and not gradients.terms.any()


def test_gradients_alone_may_be_what_is_not_finite() -> None:
    phase, prepared = next(each_phase(RECIPES["bf16"]))
    gradients = gradients_of(phase, prepared, "eager")
    parameter = gradients.parameters[0]
    parameter.register_hook(lambda grad: grad * torch.inf)
    gradients(0, 0)
    assert gradients.bad.item() == 1


def test_a_recording_keeps_its_own_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other steps may have been tried after it: what it writes to is bound again."""
    monkeypatch.setattr("training.gradients.captured", recorded)
    phase, prepared = next(each_phase(RECIPES["bf16"]))
    graphed = gradients_of(phase, prepared, "graphed")
    eager = gradients_of(phase, prepared, "eager")
    wanted = result(eager, 0)
    eager(1, 6)
    assert_same(result(graphed, 0), wanted)


def test_the_fastest_way_is_said_and_nothing_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.ways.TRIED", 2)
    monkeypatch.setattr("training.ways.COMPILES", 0.0)
    phase, prepared = next(each_phase(RECIPES["through"]))
    before = {name: value.clone() for name, value in prepared.objective.module.state_dict().items()}
    said: list[str] = []

    def make(way: Step) -> object:
        if way == "compiled":
            raise RuntimeError("no compiler\nat all")
        return gradients_of(phase, prepared, way)

    found = fastest(make, 10, 0, CPU, said.append)  # type: ignore[arg-type]
    assert said[0] == "steps cannot run compiled here: no compiler"
    assert said[1].startswith(f"steps run {found.way} (forward and backward passes per second: eager ")
    assert "graphed" in said[1] and "compiled-graphed" in said[1]
    after = prepared.objective.module.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def run(recipe: Recipe, folder: Path) -> Fitted:
    return fit(recipe, datasets.load(recipe.data), folder, say=lambda text: None)


def test_a_fit_whose_steps_are_recorded_finds_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.gradients.captured", recorded)
    dropout = {"width": 16, "depth": 1, "dropout": 0.1}
    eager = run(tiny(model__conditioner=dropout), tmp_path / "eager")
    graphed = run(tiny(model__conditioner=dropout, fit__step="graphed"), tmp_path / "graphed")
    assert graphed.validation_loss == eager.validation_loss
    theirs = eager.model.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in graphed.model.state_dict().items())
    assert eager.ways == {"flow": "auto"} and graphed.ways == {"flow": "graphed"}


@pytest.mark.full
@pytest.mark.parametrize("way", ["compiled", "compiled-graphed"])
def test_a_compiled_fit_finds_about_the_same(tmp_path: Path, way: Step) -> None:
    """Inductor draws its own random numbers and sums in its own order."""
    eager = run(tiny(), tmp_path / "eager")
    compiled = run(tiny(fit__step=way), tmp_path / "compiled")
    again = run(tiny(fit__step=way), tmp_path / "again")
    assert compiled.validation_loss == again.validation_loss
    assert compiled.validation_loss == pytest.approx(eager.validation_loss, rel=0.1)
