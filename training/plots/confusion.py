"""Which classes are taken for which."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from training.plots.figure import INK, new_figure, to_png

_NUMBERS_UP_TO = 16


def confusion_plot(matrix: ArrayLike, classes: Sequence[str]) -> bytes:
    """Rows: true class; columns: inferred class; shade: share of the true class; numbers: rows (up to 16 classes)."""
    counts = np.asarray(matrix)
    size = len(classes)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(7.0, 2.2 + 0.4 * size)
    figure, (ax,) = new_figure(side, side * 0.94)
    # A square root makes rare mistakes visible beside the diagonal.
    ax.imshow(np.sqrt(share), cmap="Blues", vmin=0, vmax=1.15)
    if size <= _NUMBERS_UP_TO:
        for i, j in np.ndindex(size, size):
            if counts[i, j]:
                ax.text(
                    j,
                    i,
                    str(counts[i, j]),
                    ha="center",
                    va="center",
                    fontsize=7,
                    color="white" if share[i, j] > 0.5 else INK,
                )
    names = [name if len(name) <= 14 else name[:13] + "…" for name in classes]
    upright = max(map(len, names)) <= 3
    ax.set_xticks(range(size), names, rotation=0 if upright else 45, ha="center" if upright else "right")
    ax.set_yticks(range(size), names)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_xlabel("inferred class")
    ax.set_ylabel("true class")
    return to_png(figure)
