"""Row 4: how far the probabilities of inferred labels can be believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.figures.subject import Subject
from benchmarks.record import Figure, Page
from training.diagnostics.calibration import reliability, temper
from training.diagnostics.classification import label_nll
from training.evaluation.labels import label_scores
from training.plots.curves import reliability_plot

GOALS = {"mnist": 0.005, "fashion-mnist": 0.02}
PAPER_EPSILON = 0.1
_NAMES = {"label_nll": "label NLL (nats)", "brier": "Brier", "ece": "ECE"}


def calibration(groups: Mapping[str, Sequence[Subject]], command: str, seed: int = 0) -> Page:
    """`groups`: a version's name to the version itself, first, and the fits of the same recipe at other eps, if any."""
    figures: list[Figure] = []
    pictures: list[tuple[str, bytes, str]] = []
    notes: list[str] = []
    for name, subjects in groups.items():
        found, picture, note = _one(name, subjects, seed)
        figures += found
        pictures.append((f"calibration-{name}.png", picture, f"{name}: confidence against accuracy, test rows"))
        notes.append(note)
    return Page(
        name="calibration",
        title="Calibration of inferred labels",
        command=command,
        protocol=(
            "The official test sets; label NLL, Brier score and top-label ECE over 15 equal-width bins. (a) "
            "the model's raw posterior at eps 0.1, (b) the raw posterior of the fit whose eps has the least "
            "label NLL on validation rows, (c) the posterior after the one temperature that is stored in the "
            "version, fitted on validation rows. The goal is for the better of (b) and (c)."
        ),
        figures=figures,
        subjects=[subject.facts() for subjects in groups.values() for subject in subjects],
        seed=seed,
        body="\n\n".join(notes),
        pictures=pictures,
    )


def validation_label_nll(subject: Subject, seed: int) -> float:
    """Label NLL of the raw posterior on validation rows: by this an eps is chosen."""
    posterior, truth = _posterior(subject, seed, "validation")
    return label_nll(posterior, truth)


def _one(name: str, subjects: Sequence[Subject], seed: int) -> tuple[list[Figure], bytes, str]:
    own = subjects[0]
    figures: list[Figure] = []
    eces: list[float] = []
    plain = next((subject for subject in subjects if subject.epsilon == PAPER_EPSILON), None)
    if plain is not None:
        posterior, truth = _posterior(plain, seed, "test")
        figures += _figures(f"{name} (a) eps {PAPER_EPSILON:g}, raw", label_scores(posterior, truth))
    joint = [subject for subject in subjects if subject.epsilon is not None]
    note = f"{name}: no sweep over eps in this store, so (b) is left out."
    if len(joint) > 1:
        losses = {subject.name: validation_label_nll(subject, seed) for subject in joint}
        chosen = min(joint, key=lambda subject: losses[subject.name])
        posterior, truth = _posterior(chosen, seed, "test")
        scores = label_scores(posterior, truth)
        eces.append(scores["ece"])
        figures += _figures(f"{name} (b) eps {chosen.epsilon:g}, raw", scores)
        tried = ", ".join(f"eps {subject.epsilon:g}: {losses[subject.name]:.4f}" for subject in joint)
        note = f"{name}, validation label NLL of the raw posterior: {tried}. Chosen: eps {chosen.epsilon:g}."
    posterior, truth = _posterior(own, seed, "test")
    stored = own.manifest.calibration
    temperature = 1.0 if stored is None else stored.temperature
    tempered = temper(posterior, temperature)
    scores = label_scores(tempered, truth)
    eces.append(scores["ece"])
    figures += _figures(f"{name} (c) eps {own.epsilon:g}, temperature {temperature:.3g}", scores)
    figures.append(Figure(f"{name}: ECE, best of b and c", min(eces), GOALS[name], "lower"))
    curves = [
        ("raw posterior", reliability(posterior, truth)),
        (f"temperature {temperature:.3g}", reliability(tempered, truth)),
    ]
    return figures, reliability_plot(curves), note


def _figures(what: str, scores: Mapping[str, float]) -> list[Figure]:
    return [Figure(f"{what}: {_NAMES[key]}", value, better="lower") for key, value in scores.items()]


def _posterior(subject: Subject, seed: int, split: str) -> tuple[np.ndarray, np.ndarray]:
    rows = getattr(subject.dataset, split)
    found = subject.asked(seed).scores(rows).log_posterior
    assert found is not None
    return found, np.asarray(rows.condition)
