from __future__ import annotations

import io
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from inference.likelihood import log_likelihood
from inference.loaded import Loaded
from inference.work import answer
from training.datasets.base import Dataset, Split
from training.diagnostics.calibration import temper
from training.diagnostics.classification import label_nll
from training.evaluation.asking import Asked
from training.evaluation.evaluate import Evaluation, evaluate
from training.evaluation.labels import validation_temperature
from training.recipe import EvaluationSettings

Version = tuple[Loaded, Dataset]
FEW = EvaluationSettings(draws=4, rows=120, samples=3)
HISTORY = b"epoch,step,seconds,rate,train_loss,validation_loss\n1,5,0.5,0.1,3.0,3.1\n2,10,1.0,0.1,2.0,2.5\n"


@pytest.fixture(scope="module")
def mixture(mixture_version: Version) -> Evaluation:
    settings = FEW.model_copy(update={"c2st": 100})
    return evaluate(*mixture_version, settings, histories={"flow": HISTORY}, seed=1)


def check_files(evaluation: Evaluation, *pictures: str) -> str:
    """Pictures are small PNGs, the card links each of them, and nothing else."""
    card = evaluation.files["card.md"].decode()
    linked = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", card)
    stored = [path for path in evaluation.files if path.endswith(".png")]
    assert sorted(linked) == sorted(stored)
    assert set(pictures) <= set(stored)
    for path in stored:
        assert len(evaluation.files[path]) < 100_000
        with Image.open(io.BytesIO(evaluation.files[path])) as picture:
            assert picture.format == "PNG" and min(picture.size) > 50
    assert json.loads(evaluation.files["metrics.json"]) == evaluation.metrics
    return card


def test_the_figures_are_those_of_the_test_rows(mixture: Evaluation, mixture_version: Version) -> None:
    loaded, dataset = mixture_version
    test = dataset.test.take(slice(0, 120))
    assert test.condition is not None and dataset.truth is not None
    served = answer(loaded.engine, log_likelihood(loaded, test.x, test.condition, draws=4)).log_likelihood
    assert mixture.metrics["nll"] == pytest.approx(-served.mean(), rel=1e-4)
    gap = (dataset.truth.log_prob(test.x, test.condition) - served).mean()
    assert mixture.metrics["paired_gap"] == pytest.approx(gap, rel=1e-4)
    assert mixture.metrics["single_draw_gap"] > mixture.metrics["paired_gap"]
    assert mixture.metrics["true_entropy"] == pytest.approx(dataset.truth.entropy, rel=1e-5)
    assert {"accuracy", "label_nll", "ece", "brier", "ece_calibrated", "c2st_max", "latent_v_sd"} <= set(
        mixture.metrics
    )


def test_pictures_and_tables_come_with_the_card(mixture: Evaluation) -> None:
    card = check_files(mixture, "reliability.png", "confusion.png", "samples.png", "latents.png", "training.png")
    assert mixture.files["training.csv"] == HISTORY
    assert "entropy of the truth" in card and "never overlap" in card


def test_validation_scores_are_what_percentiles_are_read_against(mixture: Evaluation, mixture_version: Version) -> None:
    loaded, dataset = mixture_version
    rows = dataset.validation.take(slice(0, 60))
    served = answer(loaded.engine, log_likelihood(loaded, rows.x, rows.condition, draws=4)).log_likelihood
    stored = mixture.validation_scores
    assert stored.draws == 4
    assert np.allclose(stored.conditional, np.sort(served), atol=1e-3)
    assert len(stored.marginal) == 60 and list(stored.marginal) == sorted(stored.marginal)


def test_the_temperature_is_the_best_for_validation_rows(mixture: Evaluation, mixture_version: Version) -> None:
    loaded, dataset = mixture_version
    rows = dataset.validation.take(slice(0, 60))
    posterior = Asked(loaded, 4, 0, dataset.class_prior).scores(rows).log_posterior
    assert posterior is not None and rows.condition is not None and mixture.calibration is not None
    best = mixture.calibration.temperature
    losses = [label_nll(temper(posterior, best * factor), rows.condition) for factor in (0.8, 1.0, 1.2)]
    assert losses[1] <= min(losses) + 1e-6


def test_what_is_tuned_never_sees_the_test_rows(mixture_version: Version, mixture: Evaluation) -> None:
    loaded, dataset = mixture_version
    assert dataset.test.condition is not None
    other = Split(dataset.test.x[::-1] + 1.0, dataset.test.condition[::-1])
    moved = evaluate(loaded, replace(dataset, test=other), FEW, seed=1)
    assert moved.calibration == mixture.calibration
    assert moved.validation_scores == mixture.validation_scores
    assert moved.metrics["nll"] != mixture.metrics["nll"]


def test_a_latent_flow_speaks_of_its_latent_and_shows_reconstructions(latent_version: Version) -> None:
    evaluation = evaluate(*latent_version, FEW)
    card = check_files(evaluation, "reconstructions.png", "samples.png")
    assert "bits_per_dim" not in evaluation.metrics
    assert "of the auto-encoder's latent" in card
    assert evaluation.metrics["reconstruction_psnr"] > 0
    assert evaluation.class_prior == latent_version[1].class_prior


def test_an_image_condition_is_forecast(upscale_version: Version) -> None:
    evaluation = evaluate(*upscale_version, FEW)
    check_files(evaluation, "samples.png")
    assert {"crps", "psnr_mean", "bits_per_dim", "round_trip_max"} <= set(evaluation.metrics)
    assert evaluation.metrics["psnr_mean"] > evaluation.metrics["psnr_sample"]
    assert evaluation.calibration is None and evaluation.class_prior is None


def test_a_vector_condition_is_read_back_and_names_are_only_text(vector_version: Version) -> None:
    evaluation = evaluate(*vector_version, FEW)
    card = check_files(evaluation, "samples.png")
    assert "<script" not in card and "a\\|b" in card
    assert "condition_coverage_90" in evaluation.metrics or "not to be relied on" in card
    assert evaluation.metrics["draws"] == 1


def test_a_data_set_that_does_not_fit_is_refused(mixture_version: Version, latent_version: Version) -> None:
    with pytest.raises(ValueError, match="x \\(2,\\)"):
        evaluate(mixture_version[0], latent_version[1], FEW)


def test_a_temperature_that_the_rows_cannot_tell_stays_one() -> None:
    certain = np.log(np.array([[0.9, 0.1], [0.2, 0.8]]))
    assert validation_temperature(certain, np.array([0, 1])) == 1.0
    overconfident = np.repeat(certain, 20, axis=0)
    assert validation_temperature(overconfident, np.repeat([0, 1, 1, 1], 10)) > 1.0
    guessing = np.log(np.random.default_rng(0).dirichlet((50, 50), 100))
    assert validation_temperature(guessing, np.arange(100) % 2) == 1.0
