"""Curves: the training history, the reliability of inferred labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from training.diagnostics.calibration import Reliability
from training.plots.figure import (
    ACCENT,
    GREY,
    INK,
    add_title,
    new_figure,
    outside,
    robust_limits,
    shared_legend,
    to_png,
)


def training_curve(series: Mapping[str, tuple[ArrayLike, ArrayLike]], ylabel: str = "loss (nats)") -> bytes:
    """Loss against epoch, one line per named series of (epochs, values); the best value of the last series is marked.

    The vertical range leaves out the steep beginning and outliers: it spans the bulk of the values after the first
    quarter, and the title says how many of those lie outside.
    """
    figure, (ax,) = new_figure(5.6, 3.2)
    shown: list[np.ndarray] = []
    marked: list[float] = []
    last = len(series) - 1
    for index, (name, (epochs, values)) in enumerate(series.items()):
        x, y = np.asarray(epochs, np.float64), np.asarray(values, np.float64)
        ax.plot(x, y, color=INK if index == last else GREY, linewidth=1.6, label=name)
        shown.append(y[len(y) // 4 :])
        if index == last and np.isfinite(y).any():
            best = int(np.nanargmin(y))
            marked.append(float(y[best]))
            ax.plot(
                x[best], y[best], "o", color=ACCENT, markersize=5, label=f"best: {y[best]:.4g} at epoch {x[best]:g}"
            )
    values = np.concatenate(shown) if shown else np.zeros(0)
    low, high = robust_limits(values, share=0.05)
    low, high = min([low, *marked]), max([high, *marked])
    pad = 0.06 * (high - low)
    ax.set_ylim(low - pad, high + pad)
    if beyond := int(((values < low - pad) | (values > high + pad)).sum()):
        add_title(ax, f"{len(values)} values{outside(beyond)}")
    ax.set_xlabel("epoch")
    ax.set_ylabel(ylabel)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(True)
    shared_legend(figure)
    return to_png(figure)


def reliability_plot(curves: Sequence[tuple[str, Reliability]]) -> bytes:
    """Accuracy against confidence per bin, one panel per named curve; grey bars tell the share of rows in each bin."""
    figure, axes = new_figure(3.6 * len(curves), 3.5, 1, len(curves))
    for ax, (name, curve) in zip(axes, curves, strict=True):
        width = np.diff(curve.edges)
        share = curve.count / curve.count.sum()
        ax.bar(curve.edges[:-1], share, width, align="edge", color="#dde2e6", label="share of rows")
        ax.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="calibrated")
        full = curve.count > 0
        ax.plot(curve.confidence[full], curve.accuracy[full], color=GREY, linewidth=1)
        many = curve.count >= 30
        ax.plot(curve.confidence[many], curve.accuracy[many], "o", color=ACCENT, markersize=5, label="accuracy")
        few = full & ~many
        if few.any():
            ax.plot(
                curve.confidence[few],
                curve.accuracy[few],
                "o",
                color=ACCENT,
                mfc="white",
                markersize=5,
                label="under 30 rows",
            )
        ax.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="confidence of the top label", ylabel="share that is right")
        add_title(ax, f"{name}: ECE {curve.ece:.4f}")
        ax.set_aspect("equal")
    shared_legend(figure)
    return to_png(figure)
