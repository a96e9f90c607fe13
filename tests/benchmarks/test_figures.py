from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks.figures.calibration import calibration
from benchmarks.figures.epsilon import epsilon, fit_at
from benchmarks.figures.fidelity import fidelity
from benchmarks.figures.fit_times import LIMIT_S, fit_times
from benchmarks.figures.labels import labels
from benchmarks.figures.mixture import mixture
from benchmarks.figures.referee import judge, referee
from benchmarks.figures.style import style
from benchmarks.figures.subject import Subject, Unmeasurable, present, subject
from model_store import Store
from tests.training.small_models import LATENT
from training import datasets, recipe
from training.modelling import fresh_model
from training.publishing import publish

FAST = {
    "data.rows": 800,
    "data.held": 200,
    "model.blocks": 2,
    "model.conditioner.width": 16,
    "fit.epochs": 1,
    "fit.steps_per_epoch": 4,
    "fit.batch": 100,
    "evaluation": {"draws": 4, "rows": 50},
}
RECIPE = {
    "name": "mnist",
    "data": {"set": "digits"},
    "model": LATENT,
    "evaluation": {"draws": 4, "rows": 50},
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A mixture fitted for four steps at eps 0.2, and an untrained latent flow of 8 x 8 digits called mnist."""
    folder = tmp_path_factory.mktemp("figures")
    opened = Store.open(folder / "store")
    fit_at(opened, "gaussian-mixture", 0.2, FAST, folder / "runs")
    chosen = recipe.check(RECIPE)
    dataset = datasets.load(chosen.data)
    publish(fresh_model(chosen, dataset), chosen, dataset, opened, "mnist", histories={})
    return opened


@pytest.fixture
def digits(store: Store) -> Iterator[Subject]:
    with subject(store, "mnist") as found:
        yield found


def test_mixture_page_tells_a_bad_fit_from_a_working_test(store: Store) -> None:
    with subject(store, "gaussian-mixture-eps-0.2") as found:
        page = mixture(found, "command", points=200)
    values = {figure.quantity: figure.value for figure in page.figures}
    assert page.figures[0].reached is False and "**missed**" in page.render()
    gaps = [value for quantity, value in values.items() if "gap" in quantity]
    assert gaps[0] < gaps[1]  # more draws, tighter
    assert 0.0 <= values["share of samples in the asked mode, all classes"] < 0.999


def test_labels_page_names_what_is_absent(digits: Subject) -> None:
    page = labels([digits], "command")
    assert page.figures[0].goal == 0.990 and page.figures[0].published == "0.984"
    assert "fashion-mnist-two-stage" in page.body
    assert page.figures[0].value < 0.5


def test_calibration_page_takes_the_stored_temperature_and_the_best_eps(store: Store, digits: Subject) -> None:
    alone = calibration({"mnist": [digits]}, "command")
    assert "no sweep" in alone.body
    with subject(store, "gaussian-mixture-eps-0.2") as other:
        page = calibration({"mnist": [digits, other]}, "command")
    assert digits.manifest.calibration is not None
    quantities = [figure.quantity for figure in page.figures]
    assert f"mnist (c) eps 0.1, temperature {digits.manifest.calibration.temperature:.3g}: ECE" in quantities
    assert any("(a) eps 0.1, raw" in quantity for quantity in quantities)
    assert "Chosen: eps" in page.body
    assert page.figures[-1].goal == 0.005


def test_epsilon_page_reuses_fits_and_chooses_the_least(store: Store, tmp_path: Path) -> None:
    page = epsilon(store, "gaussian-mixture", [0.2], FAST, tmp_path, "command")
    assert not list(tmp_path.iterdir())
    assert "chosen" in page.body and page.subjects[0]["version"] == "gaussian-mixture-eps-0.2@1"


def test_referee_learns_and_is_kept(digits: Subject, tmp_path: Path) -> None:
    quiet: list[str] = []
    network = referee(digits.dataset, tmp_path, epochs=15, say=quiet.append)
    again = referee(digits.dataset, tmp_path, epochs=15, say=quiet.append)
    assert len(quiet) == 15
    test = digits.dataset.test
    judged, features = judge(network, test.x)
    assert np.mean(judged == test.condition) > 0.6
    assert features.shape == (len(test), 64)
    assert np.array_equal(judge(again, test.x)[1], features)


def test_fidelity_page_of_a_flow_that_learned_nothing(digits: Subject, tmp_path: Path) -> None:
    page = fidelity([digits], tmp_path, "command", samples=200, epochs=1)
    values = {figure.quantity.split(": ")[1]: figure for figure in page.figures}
    assert values["samples that the referee assigns to the asked class"].reached is False
    assert values["recall"].goal == 0.6
    assert page.pictures[0][1].startswith(b"\x89PNG")


def test_style_page_holds_shared_against_shuffled(digits: Subject) -> None:
    page = style(digits, "command", latents=40)
    assert [figure.goal for figure in page.figures] == [0.5, 0.05, 0.5, 0.05]
    assert page.pictures[0][0] == "style.png"


def test_what_cannot_be_measured_is_said(store: Store) -> None:
    with pytest.raises(Unmeasurable, match="fashion-mnist"):
        present(store, ("fashion-mnist",))
    with subject(store, "gaussian-mixture-eps-0.2") as found, pytest.raises(Unmeasurable, match="grey pictures"):
        style(found, "command")


def test_fit_times_are_of_whole_fits_phase_by_phase(tmp_path: Path) -> None:
    stage = {"batch": 100, "epochs": 7}
    file = tmp_path / "small.yaml"
    file.write_text(json.dumps(RECIPE | {"fit": stage | {"autoencoder": stage | {"epochs": 30}}}))
    (figure,) = fit_times([str(file)], 2, "").figures
    times = dict(part.split() for part in figure.note.split(", "))
    assert list(times) == ["autoencoder", "flow"] and figure.goal == LIMIT_S
    assert sum(map(float, times.values())) == pytest.approx(figure.value, abs=1.1) and figure.value > 0
