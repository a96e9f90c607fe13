"""Every recipe through its command line: fitted, exported, evaluated, published, and answering.

The mixture is fitted as it stands and must reach its goals; the others are fitted shortly, so that what breaks is the
way and not the figure. Figures of whole fits are measured by `benchmarks.figures`.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from inference.loaded import Loaded
from inference.loading import load
from inference.sampling import sample
from inference.work import answer
from model_store import Store
from training.cli import app

pytestmark = [pytest.mark.full, pytest.mark.timeout(1800)]

SHORT = ("fit.epochs=2", "fit.steps_per_epoch=20", "evaluation.rows=500", "evaluation.draws=4")
TWO_STAGES = (*SHORT, "fit.autoencoder.epochs=2")
IMAGES = pytest.mark.skipif("CONDFLOW_DATA" not in os.environ, reason="CONDFLOW_DATA names no folder of data sets")


def fitted(folder: Path, recipe: str, *settings: str) -> Loaded:
    changes = [part for setting in settings for part in ("--set", setting)]
    command = ["fit", recipe, *changes, "--store", folder / "store", "--run-dir", folder / "run", "--publish", "made"]
    result = CliRunner().invoke(app, [str(part) for part in command])
    assert result.exit_code == 0, result.output
    return load(Store.open(folder / "store"), "made")


def test_the_mixture_reaches_its_goals(tmp_path: Path) -> None:
    fitted(tmp_path, "gaussian-mixture")
    metrics = Store.open(tmp_path / "store").resolve("made").metrics
    assert metrics["c2st_control_min"] >= 0.525
    assert metrics["c2st_max"] <= 0.515
    assert metrics["paired_gap"] <= 0.01
    assert metrics["single_draw_gap"] <= 0.10


def test_the_digits_are_read(tmp_path: Path) -> None:
    fitted(tmp_path, "digits")
    assert Store.open(tmp_path / "store").resolve("made").metrics["accuracy"] >= 0.94


@pytest.mark.parametrize(
    ("recipe", "settings"),
    [
        ("digits-upscale", SHORT),
        pytest.param("mnist-cinn", (*SHORT, "data.classes=[3,8]", "data.limit=4000"), marks=IMAGES),
        pytest.param("mnist", (*SHORT, "data.limit=4000"), marks=IMAGES),
        pytest.param("mnist-two-stage", (*TWO_STAGES, "data.limit=4000"), marks=IMAGES),
        pytest.param("fashion-mnist", (*SHORT, "data.limit=4000"), marks=IMAGES),
        pytest.param("fashion-mnist-two-stage", (*TWO_STAGES, "data.limit=4000"), marks=IMAGES),
    ],
)
def test_the_way_holds(tmp_path: Path, recipe: str, settings: tuple[str, ...]) -> None:
    loaded = fitted(tmp_path, recipe, *settings)
    shape = loaded.signature.data.shape
    conditions = np.arange(len(loaded.classes)) if loaded.classes else np.zeros((2, 4, 4))
    drawn = answer(loaded.engine, sample(loaded, num_samples=3, conditions=conditions, seed=1)).samples
    assert drawn.shape == (len(conditions), 3, *shape)
    assert np.isfinite(drawn).all()
    if recipe == "mnist-cinn":
        assert loaded.classes == ("3", "8")
