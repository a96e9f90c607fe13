"""Row 1: the posterior of the eight-mode mixture against the truth."""

from __future__ import annotations

import numpy as np

from benchmarks.figures.subject import Subject, Unmeasurable
from benchmarks.record import Figure, Page, table
from training.datasets.mixture import CENTRES
from training.evaluation.samples import two_sample_test
from training.plots.scatter import samples_beside_truth

_DRAWS = 256
_SHOWN = 4000


def mixture(subject: Subject, command: str, seed: int = 0, points: int = 10_000) -> Page:
    """C2ST per class with its control, share of samples in the asked mode, gaps to the true log-density."""
    truth, test = subject.dataset.truth, subject.dataset.test
    if truth is None or test.condition is None:
        raise Unmeasurable(f"{subject.name} has no known truth")
    asked = subject.asked(seed, _DRAWS)
    scores, controls = two_sample_test(asked, truth, points)
    classes = np.arange(len(CENTRES))
    drawn = asked.sample(classes, points, stream=3).astype(np.float64)
    nearest = ((drawn[:, :, None] - CENTRES) ** 2).sum(axis=-1).argmin(axis=-1)
    right = (nearest == classes[:, None]).mean(axis=1)
    true = truth.log_prob(test.x, test.condition)
    many, single = asked.scores(test), asked.scores(test, draws=1)
    gaps = [true - found.conditional for found in (many, single)]
    errors = [float(gap.std() / np.sqrt(len(gap))) for gap in gaps]
    figures = (
        Figure("C2ST, worst of the classes", max(scores), 0.515, "lower", "“almost exactly” (a figure)"),
        Figure(
            "the same test on truth with sd × 1.1, least of the classes", min(controls), 0.525, note="positive control"
        ),
        Figure("share of samples in the asked mode, all classes", float(right.mean()), 0.999),
        Figure(
            f"paired gap at K = {asked.draws} draws (nats)",
            float(gaps[0].mean()),
            0.01,
            "lower",
            note=f"± {errors[0]:.4f}",
        ),
        Figure(
            "paired gap from one draw (nats)", float(gaps[1].mean()), 0.10, "lower", note=f"± {errors[1]:.4f}; a bound"
        ),
    )
    rows = [(str(k), f"{scores[k]:.4f}", f"{controls[k]:.4f}", f"{right[k]:.4f}") for k in classes]
    rows_shown = test.take(slice(0, _SHOWN))
    shown = asked.sample(rows_shown.condition, 1, stream=4)[:, 0]
    names = subject.loaded.classes
    picture = samples_beside_truth(rows_shown.x, shown, rows_shown.condition, rows_shown.condition, names)
    return Page(
        name="mixture",
        title="The eight-mode mixture (Xiao 2019, section 5.1)",
        command=command,
        protocol=(
            f"{points:,} + {points:,} fresh points per class, z-scored, MLP classifier, 5 folds; the worst "
            "class counts. The control stretches a second draw of the truth about its mean. The right mode is "
            f"the nearest centre. Paired gap: mean log p_true − log p over the {len(test):,} test rows."
        ),
        figures=figures,
        subjects=(subject.facts(),),
        seed=seed,
        body=table(("class", "C2ST", "control", "right mode"), rows)
        + f"\n\nMedian effective sample size {np.median(_sizes(many.sample_size)):.0f} of {asked.draws} draws.",
        pictures=(("mixture.png", picture, "Test rows and samples under the same labels"),),
    )


def _sizes(sizes: np.ndarray | None) -> np.ndarray:
    return np.ones(1) if sizes is None else sizes
