"""Evaluate an exported version: tuned on validation rows, quoted on test rows, told in a card."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from inference.loaded import Loaded
from inference.validation import validation_scores
from model_store.manifest import Calibration, ValidationScores
from training.datasets.base import Dataset, Split
from training.evaluation.asking import Asked
from training.evaluation.card import card
from training.evaluation.conditions import conditions_section
from training.evaluation.history import history_section, stem
from training.evaluation.labels import labels_section, validation_temperature
from training.evaluation.latents import latents_section, reconstruction_section
from training.evaluation.likelihoods import likelihood_section
from training.evaluation.samples import forecast_section, samples_section, two_sample_section
from training.evaluation.section import Section
from training.evaluation.training_data import training_data
from training.recipe import EvaluationSettings


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation adds to a version: manifest fields, and `files` (card, pictures, tables) by path."""

    metrics: dict[str, Any]
    files: dict[str, bytes]
    calibration: Calibration | None
    validation_scores: ValidationScores
    class_prior: tuple[float, ...] | None


def evaluate(
    loaded: Loaded,
    dataset: Dataset,
    settings: EvaluationSettings | None = None,
    *,
    histories: Mapping[str, bytes] | None = None,
    seed: int = 0,
) -> Evaluation:
    """Measure `loaded` on `dataset` through its engine.

    Args:
        loaded: the exported version, loaded by `inference`; its manifest's name, lineage, graph errors and prior sample
            are used, and its calibration, class prior and validation scores are not: they are made here.
        dataset: the one that it was fitted to.
        settings: draws, rows and points; those of the recipe.
        histories: phase of the fit ("flow", "autoencoder") to its CSV.
        seed: of the samples.

    Raises:
        ValueError: the data set's shapes or classes are not those of the version.
    """
    settings = settings or EvaluationSettings()
    _check(loaded, dataset)
    prior = dataset.class_prior
    asked = Asked(loaded, settings.draws, seed, prior)
    validation = dataset.validation.take(slice(0, max(settings.rows // 2, 1)))
    test = dataset.test.take(slice(0, settings.rows))
    validated, scores = asked.scores(validation), asked.scores(test)

    sections = [likelihood_section(asked, test, scores, dataset.truth)]
    calibration = None
    if scores.log_posterior is not None and validated.log_posterior is not None:
        calibration = Calibration(temperature=validation_temperature(validated.log_posterior, _labels(validation)))
        sections.append(labels_section(scores.log_posterior, _labels(test), calibration.temperature, loaded.classes))
    sections += _pictures(asked, dataset, test, settings)
    if histories:
        sections.append(history_section(histories))

    metrics: dict[str, Any] = {"test_rows": len(test), "draws": asked.draws}
    for section in sections:
        metrics |= {name: _rounded(value) for name, value in section.metrics.items()}
    example = None if test.condition is None else np.asarray(test.condition[0])
    learned_from = training_data(loaded.manifest, dataset)
    text = card(loaded.manifest, sections, np.asarray(test.x[0]), example, learned_from)
    files = {"card.md": text.encode(), "metrics.json": (json.dumps(metrics, indent=2) + "\n").encode()}
    files |= {picture.path: picture.content for section in sections for picture in section.pictures}
    files |= {f"{stem(phase)}.csv": content for phase, content in (histories or {}).items()}
    stored = validation_scores(validated.conditional, validated.marginal, asked.draws)
    return Evaluation(metrics, files, calibration, stored, prior)


def _pictures(asked: Asked, dataset: Dataset, test: Split, settings: EvaluationSettings) -> list[Section]:
    """Everything that is drawn, decoded or read back."""
    sections = [samples_section(asked, test, settings.samples, dataset.spread)]
    kind = asked.signature.condition.kind
    if kind in ("vector", "image"):
        sections.append(forecast_section(asked, test))
        inferred = conditions_section(asked, test)
        sections += [] if inferred is None else [inferred]
    if dataset.truth is not None and settings.c2st and kind == "label":
        sections.append(two_sample_section(asked, dataset.truth, settings.c2st))
    if "encode" in asked.signature.operations:
        sections += [reconstruction_section(asked, test), latents_section(asked, test)]
    return sections


def _check(loaded: Loaded, dataset: Dataset) -> None:
    signature = loaded.signature
    if signature.data.shape != dataset.data.shape or signature.condition.kind != dataset.condition.kind:
        raise ValueError(
            f"{loaded.name} is of x {signature.data.shape} given a {signature.condition.kind} condition; "
            f"the data set {dataset.name} has x {dataset.data.shape} given a {dataset.condition.kind} condition"
        )
    if loaded.classes and loaded.classes != getattr(dataset.condition, "classes", ()):
        raise ValueError(f"the classes of {loaded.name} are not those of the data set {dataset.name}")


def _labels(split: Split) -> np.ndarray:
    assert split.condition is not None
    return split.condition


def _rounded(value: float) -> float | None:
    """Seven digits, no negative zero; None for what JSON cannot say."""
    return float(f"{value:.7g}") + 0.0 if math.isfinite(value) else None
