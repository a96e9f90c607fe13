"""Row 6: the same latents as ten labels. Does the hand stay the same?"""

from __future__ import annotations

import numpy as np

from benchmarks.figures.subject import Subject, Unmeasurable
from benchmarks.record import Figure, Page
from training.diagnostics.strokes import correlation_across, slant, thickness
from training.plots.grids import image_grid

_SHOWN = 12
_SHARED, _SHUFFLED = 0.5, 0.05


def style(subject: Subject, command: str, seed: int = 0, latents: int = 1000) -> Page:
    """Stroke thickness and slant correlated across labels, at shared latents and at shuffled ones; the picture."""
    if not subject.loaded.classes or subject.loaded.signature.data.shape[0] != 1:
        raise Unmeasurable(f"{subject.name}: style is measured on grey pictures with a label")
    classes = np.arange(len(subject.loaded.classes))
    drawn = subject.asked(seed).sample(classes, latents, shared=True)
    pictures = drawn[:, :, 0].reshape(-1, *drawn.shape[3:])
    rng = np.random.default_rng(seed)
    figures: list[Figure] = []
    for trait, measure in (("stroke thickness", thickness), ("slant", slant)):
        values = measure(pictures).reshape(len(classes), latents).T
        apart = np.stack([rng.permutation(column) for column in values.T], axis=1)
        figures += [
            Figure(
                f"{trait}: correlation across labels, shared latents",
                correlation_across(values),
                _SHARED,
                published="a figure",
            ),
            Figure(f"{trait}: the same, latents shuffled apart", correlation_across(apart), _SHUFFLED, "lower"),
        ]
    columns = [str(index + 1) for index in range(_SHOWN)]
    grid = image_grid(drawn[:, :_SHOWN], subject.loaded.classes, subject.dataset.data.levels, columns)
    return Page(
        name="style",
        title="Style transfer (Xiao 2019, figure 5.4)",
        command=command,
        protocol=(
            f"{latents:,} latents, each decoded as every label. Thickness: four times the mean distance of ink "
            "to its edge. Slant: the ink's second moments, mu11 / mu02. The correlation is the mean over pairs "
            "of labels; shuffled apart, each label keeps its values but not whose latents they are."
        ),
        figures=figures,
        subjects=(subject.facts(),),
        seed=seed,
        pictures=(("style.png", grid, "One latent per column, one label per row"),),
    )
