"""Points: samples beside the truth, one-dimensional marginals, the latents of real data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle
from numpy.typing import ArrayLike

from training.plots.figure import (
    ACCENT,
    GREY,
    INK,
    add_legend,
    add_title,
    class_colour,
    new_figure,
    outside,
    robust_limits,
    shared_legend,
    to_png,
)

_LATENT_EDGE = 4.2
_LISTED = 10
_NAMED_SHARE = 0.02
_FILLED: dict[str, Any] = {"color": "#cfd6dc"}
_LINE: dict[str, Any] = {"histtype": "step", "color": ACCENT, "linewidth": 1.3}


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

    The axes hold the truth but for outliers; the titles say how many points lie outside. The title of the truth says
    which of the axes are `jittered`.
    """
    truth, samples = np.asarray(truth, np.float64), np.asarray(samples, np.float64)
    figure, axes = new_figure(7.0, 3.5, 1, 2)
    low, high = np.transpose([robust_limits(column) for column in truth.T])
    pad = 0.08 * (high - low)
    low, high = low - pad, high + pad
    panels = [(_test_data(axis_names, jittered), truth, truth_labels), ("samples", samples, sample_labels)]
    for ax, (title, points, labels) in zip(axes, panels, strict=True):
        _coloured(ax, points, labels, classes)
        ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
        ax.set_aspect("equal" if _alike(high - low) else "auto")
        ax.set(xlabel=axis_names[0], ylabel=axis_names[1])
        beyond = int((~((points >= low) & (points <= high)).all(axis=1)).sum())
        add_title(ax, f"{title} ({len(points)} points{outside(beyond)})")
    if truth_labels is not None and len(classes) <= _LISTED:
        shared_legend(figure, loc="outside right upper", ncols=1, markerscale=3, handletextpad=0.1)
    return to_png(figure)


def marginals(
    truth: ArrayLike, samples: ArrayLike, names: Sequence[str], limit: int = 12, jittered: Sequence[str] = ()
) -> bytes:
    """Histograms of the first `limit` columns: test data filled, samples as a line on the same bins.

    The bins hold the test data but for outliers; what of either lies outside is missing from its area, and told: of
    samples from 2% on, as some always lie beyond the farthest of as many rows. The panels of `jittered` columns say
    that their test data are.
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
        low, high = robust_limits(truth[:, index], share=0.02)
        edges = np.linspace(low, high, 1 + min(40, max(8, len(truth) // 25)))
        notes = ["test data jittered"] if names[index] in jittered else []
        for values, name, style, least in ((truth, "test data", _FILLED, 0), (samples, "samples", _LINE, _NAMED_SHARE)):
            density = np.full(len(values), 1 / (len(values) * (edges[1] - edges[0])))
            ax.hist(values[:, index], edges.tolist(), weights=density, label=name, **style)
            beyond = float(((values[:, index] < low) | (values[:, index] > high)).mean())
            notes += [f"{beyond:.1%} of {name} outside"] if beyond and beyond >= least else []
        ax.set_xlabel(names[index])
        if notes:
            ax.set_title("\n".join(notes), fontsize=7.5)
        ax.set_yticks([])
    shared_legend(figure)
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
        edge = (-_LATENT_EDGE, _LATENT_EDGE)
        ax.set(xlim=edge, ylim=edge, xlabel="1st principal direction of z", ylabel="2nd")
        ax.set_aspect("equal")
        beyond = int((np.abs(z @ directions.T) > _LATENT_EDGE).any(axis=1).sum())
        add_title(ax, f"latents of test data; circles at 1, 2, 3 sd{outside(beyond)}")
        if labels is not None and len(classes) <= _LISTED:
            add_legend(ax, loc="upper left", bbox_to_anchor=(1.0, 1.0), markerscale=3, handletextpad=0.1)
    else:
        ax.set_axis_off()
    edges = np.linspace(-4.5, 4.5, 73)
    histogram.hist(z.ravel(), edges.tolist(), density=True, color="#cfd6dc", label="elements of z")
    grid = np.linspace(-4.5, 4.5, 200)
    histogram.plot(grid, np.exp(-(grid**2) / 2) / np.sqrt(2 * np.pi), color=ACCENT, linewidth=1.4, label="N(0, 1)")
    histogram.set(xlabel="value", ylabel="density", ylim=(0, 0.52))
    add_title(histogram, f"mean {z.mean():+.3f}, sd {z.std():.3f}")
    add_legend(histogram, loc="lower right", bbox_to_anchor=(1.0, 1.08), ncols=2)
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
