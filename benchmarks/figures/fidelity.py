"""Row 5: class-conditional samples before an independent classifier."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.figures.referee import judge, referee
from benchmarks.figures.subject import Subject
from benchmarks.record import Figure, Page
from training.diagnostics.fidelity import frechet_distance, precision_recall
from training.plots.grids import image_grid

GOALS = {"mnist": 0.98, "fashion-mnist": 0.92}
RECALL = 0.6
_SHOWN = 12


def fidelity(
    subjects: Sequence[Subject], runs: Path, command: str, seed: int = 0, samples: int = 10_000, epochs: int = 8
) -> Page:
    """Agreement with the asked class, precision and recall, and the local-feature Frechet distance of each version."""
    figures: list[Figure] = []
    pictures: list[tuple[str, bytes, str]] = []
    for subject in subjects:
        found, grid = _one(subject, runs, seed, samples, epochs)
        figures += found
        name = subject.manifest.name
        pictures.append((f"fidelity-{name}.png", grid, f"{name}: samples of each class at temperature 1.0, not chosen"))
    return Page(
        name="fidelity",
        title="Fidelity of class-conditional samples",
        command=command,
        protocol=(
            f"{samples:,} samples, equally many per class, at temperature 1.0. The referee is a small "
            f"convolutional classifier trained on the training split alone ({epochs} epochs, seed 1); agreement "
            "is the share of samples that it assigns to the asked class, beside its accuracy on real test "
            "images. Precision and recall (Kynkäänniemi 2019, k = 3) and the Fréchet distance are over its 64 "
            "features, against as many test images; that distance is on another scale than distances over "
            "Inception features and is never to be compared with them. The floor is the distance between "
            "training and test images; the recall of decoded training images, whose detail is drawn where the version "
            "has any, is what the decoder alone leaves, however well the flow fits the latents."
        ),
        figures=figures,
        subjects=[subject.facts() for subject in subjects],
        seed=seed,
        pictures=pictures,
    )


def _one(subject: Subject, runs: Path, seed: int, samples: int, epochs: int) -> tuple[list[Figure], bytes]:
    dataset, name = subject.dataset, subject.manifest.name
    network = referee(dataset, runs, epochs=epochs)
    classes = np.arange(len(subject.loaded.classes))
    drawn = subject.asked(seed).sample(classes, samples // len(classes))
    asked_for = np.repeat(classes, drawn.shape[1])
    images = drawn.reshape(-1, *dataset.data.shape)
    test = dataset.test.take(slice(0, len(images)))
    train = dataset.train.take(slice(0, len(test)))
    judged, features = judge(network, images)
    real_judged, real = judge(network, np.asarray(test.x))
    _, other = judge(network, np.asarray(train.x))
    found = precision_recall(real, features)
    floor = precision_recall(real, other)
    _, decoded = judge(
        network, subject.asked(seed).reconstruct(train, drawn=("detail",)).reshape(-1, *dataset.data.shape)
    )
    agreement = float(np.mean(judged == asked_for))
    right = float(np.mean(real_judged == test.condition))
    figures = [
        Figure(f"{name}: samples that the referee assigns to the asked class", agreement, GOALS.get(name)),
        Figure(f"{name}: the referee's accuracy on real test images", right),
        Figure(f"{name}: precision", found.precision, note=f"training images: {floor.precision:.4f}"),
        Figure(f"{name}: recall", found.recall, RECALL, note=f"training images: {floor.recall:.4f}"),
        Figure(f"{name}: recall of decoded training images", precision_recall(real, decoded).recall),
        Figure(
            f"{name}: local-feature Fréchet distance",
            frechet_distance(real, features),
            better="lower",
            note=f"floor: {frechet_distance(real, other):.4f}",
        ),
    ]
    grid = image_grid(drawn[:, :_SHOWN], subject.loaded.classes, dataset.data.levels)
    return figures, grid
