"""Points: samples beside the truth, one-dimensional marginals, the latents of real data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle
from numpy.typing import ArrayLike

from training.plots.figure import ACCENT, GREY, INK, add_legend, class_colour, new_figure, to_png


def samples_beside_truth(
    truth: ArrayLike,
    samples: ArrayLike,
    truth_labels: ArrayLike | None = None,
    sample_labels: ArrayLike | None = None,
    classes: Sequence[str] = (),
    axis_names: Sequence[str] = ("x1", "x2"),
    jittered: Sequence[str] = (),
) -> bytes:
    """Two panels of points (rows, 2) on the same axes, coloured by class where labels (rows,) are given.

    The title of the truth says which of the axes are `jittered`.
    """
    truth, samples = np.asarray(truth, np.float64), np.asarray(samples, np.float64)
    figure, axes = new_figure(7.0, 3.5, 1, 2)
    low, high = truth.min(axis=0), truth.max(axis=0)
    pad = 0.08 * (high - low)
    panels = [(_test_data(axis_names, jittered), truth, truth_labels), ("samples", samples, sample_labels)]
    for ax, (title, points, labels) in zip(axes, panels, strict=True):
        _coloured(ax, points, labels, classes)
        ax.set(xlim=(low[0] - pad[0], high[0] + pad[0]), ylim=(low[1] - pad[1], high[1] + pad[1]))
        ax.set_aspect("equal" if _alike(high - low) else "auto")
        ax.set(xlabel=axis_names[0], ylabel=axis_names[1])
        ax.set_title(f"{title} ({len(points)} points)")
    return to_png(figure)


def marginals(
    truth: ArrayLike, samples: ArrayLike, names: Sequence[str], limit: int = 12, jittered: Sequence[str] = ()
) -> bytes:
    """Histograms of the first `limit` columns: test data filled, samples as a line on the same bins.

    The panels of `jittered` columns say that their test data are.
    """
    truth, samples = np.asarray(truth, np.float64), np.asarray(samples, np.float64)
    count = min(limit, truth.shape[1])
    columns = min(4, count)
    rows = -(-count // columns)
    figure, axes = new_figure(2.1 * columns + 0.6, 1.9 * rows + 0.4, rows, columns)
    for index, ax in enumerate(axes):
        if index >= count:
            ax.set_axis_off()
            continue
        low, high = np.quantile(truth[:, index], [0.002, 0.998])
        edges = np.linspace(low, high if high > low else low + 1.0, 1 + min(40, max(8, len(truth) // 25)))
        ax.hist(truth[:, index], edges.tolist(), density=True, color="#cfd6dc", label="test data")
        ax.hist(
            samples[:, index],
            edges.tolist(),
            density=True,
            histtype="step",
            color=ACCENT,
            linewidth=1.3,
            label="samples",
        )
        ax.set_xlabel(names[index])
        if names[index] in jittered:
            ax.set_title("test data jittered", fontsize="small")
        ax.set_yticks([])
    add_legend(axes[0], loc="upper right")
    axes[0].set_ylabel("density")
    return to_png(figure)


def _test_data(names: Sequence[str], jittered: Sequence[str]) -> str:
    """The title of a panel.

    >>> _test_data(["a", "b"], ["b"]), _test_data(["a", "b"], ["a", "b"])
    ('test data, b jittered', 'test data, jittered')
    """
    found = [name for name in names if name in jittered]
    if not found:
        return "test data"
    return "test data, jittered" if len(found) == len(names) else f"test data, {found[0]} jittered"


def latent_plot(latents: ArrayLike, labels: ArrayLike | None = None, classes: Sequence[str] = ()) -> bytes:
    """Latents (rows, K) of test data: two principal components coloured by class; all elements against N(0, 1)."""
    z = np.asarray(latents, np.float64)
    z = z.reshape(len(z), -1)
    figure, axes = new_figure(7.6, 3.5, 1, 2)
    ax, histogram = axes
    if z.shape[1] > 1:
        centred = z - z.mean(axis=0)
        directions = np.linalg.svd(centred, full_matrices=False)[2][:2]
        _coloured(ax, z @ directions.T, labels, classes)
        for radius in (1, 2, 3):
            ax.add_patch(Circle((0, 0), radius, fill=False, color=INK, linewidth=0.8, linestyle=":", zorder=3))
        ax.set(xlim=(-4.2, 4.2), ylim=(-4.2, 4.2), xlabel="1st principal direction of z", ylabel="2nd")
        ax.set_aspect("equal")
        ax.set_title("latents of test data; circles at 1, 2, 3 sd")
    else:
        ax.set_axis_off()
    edges = np.linspace(-4.5, 4.5, 73)
    histogram.hist(z.ravel(), edges.tolist(), density=True, color="#cfd6dc", label="elements of z")
    grid = np.linspace(-4.5, 4.5, 200)
    histogram.plot(grid, np.exp(-(grid**2) / 2) / np.sqrt(2 * np.pi), color=ACCENT, linewidth=1.4, label="N(0, 1)")
    histogram.set(xlabel="value", ylabel="density", ylim=(0, 0.52))
    histogram.set_title(f"mean {z.mean():+.3f}, sd {z.std():.3f}")
    add_legend(histogram, loc="upper right")
    return to_png(figure)


def _alike(spans: np.ndarray) -> bool:
    """Whether both axes span similar ranges, so that one scale shows both."""
    return bool(spans.max() < 3 * spans.min())


def _coloured(ax: Axes, points: np.ndarray, labels: ArrayLike | None, classes: Sequence[str]) -> None:
    if labels is None:
        ax.plot(points[:, 0], points[:, 1], ".", color=GREY, markersize=2.5)
        return
    index = np.asarray(labels)
    for k, name in enumerate(classes):
        mine = points[index == k]
        ax.plot(mine[:, 0], mine[:, 1], ".", color=class_colour(k, len(classes)), markersize=2.5, label=name)
    if len(classes) <= 10:
        add_legend(ax, loc="upper left", bbox_to_anchor=(1.0, 1.0), markerscale=3, handletextpad=0.1)
