"""Rows 2 and 3: the label by the forward pass."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.figures.subject import Subject
from benchmarks.record import Figure, Page
from training.diagnostics.classification import accuracy

PUBLISHED = {"mnist": 0.984, "fashion-mnist": 0.901}
GOALS = {
    "mnist-two-stage": ("mnist", 0.988),
    "fashion-mnist-two-stage": ("fashion-mnist", 0.905),
    "mnist": ("mnist", 0.990),
    "fashion-mnist": ("fashion-mnist", 0.920),
}


def labels(subjects: Sequence[Subject], command: str, seed: int = 0) -> Page:
    """Test accuracy of each version: the served answer, and one noise draw alone."""
    figures: list[Figure] = []
    for subject in subjects:
        figures += accuracies(subject, seed)
    absent = [name for name in GOALS if name not in {subject.manifest.name for subject in subjects}]
    return Page(
        name="labels",
        title="Labels by the forward pass (Xiao 2019, table 1)",
        command=command,
        protocol=(
            "The official test sets. The label is the most probable class of the model's Bayes posterior, "
            "whose weights come from the flow's forward output over noise draws on the padding; with one draw "
            "and equal priors that is the largest element of the output. *-two-stage*: the paper's protocol, "
            "an auto-encoder that never sees labels. The others: the likelihood reaches the encoder; no "
            "classifier head anywhere."
        ),
        figures=figures,
        subjects=[subject.facts() for subject in subjects],
        seed=seed,
        body=f"Not in the store, so not measured: {', '.join(absent)}." if absent else "",
    )


def accuracies(subject: Subject, seed: int) -> list[Figure]:
    """The figure with its goal, and the same from one draw."""
    test, asked = subject.dataset.test, subject.asked(seed)
    found: list[float] = []
    for draws in (asked.draws, 1):
        posterior = asked.scores(test, draws=draws, seed=0).log_posterior
        assert posterior is not None and test.condition is not None
        found.append(accuracy(posterior, np.asarray(test.condition)))
    data, goal = GOALS[subject.manifest.name]
    error = float(np.sqrt(found[0] * (1 - found[0]) / len(test)))
    name = subject.manifest.name
    return [
        Figure(
            f"{name}: accuracy, {asked.draws} draws",
            found[0],
            goal,
            published=str(PUBLISHED[data]),
            note=f"± {error:.4f}, {len(test):,} rows",
        ),
        Figure(f"{name}: accuracy, one draw", found[1], published=str(PUBLISHED[data])),
    ]
