"""One look for every picture, and the one way from a figure to a small PNG."""

from __future__ import annotations

import io
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

INK, PAPER, GREY, ACCENT = "#1b1f24", "#ffffff", "#9aa3ad", "#c2410c"
_RC: Any = {
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "grid.color": "#e5e8eb",
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": INK,
    "ytick.color": INK,
}


def new_figure(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure of `width` x `height` inches and its axes in reading order; matplotlib's global state stays as it is."""
    with matplotlib.rc_context(_RC):
        figure = Figure((width, height), dpi=110, layout="constrained", facecolor=PAPER)
        axes = np.atleast_1d(figure.subplots(rows, columns)).ravel().tolist()
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
    return figure, axes


def add_title(ax: Axes, text: str) -> None:
    """A title that is smaller where it is long."""
    ax.set_title(text, fontsize=10.0 if len(text) <= 40 else 8.0)


def add_legend(ax: Axes, **options: Any) -> None:
    """A small legend without a frame."""
    ax.legend(**{"frameon": False, "fontsize": 7.5, **options})


def shared_legend(figure: Figure, **options: Any) -> None:
    """One legend for all axes, above them: nothing that is drawn lies under it. Each name stands there once."""
    named: dict[str, Any] = {}
    for ax in figure.axes:
        for handle, name in zip(*ax.get_legend_handles_labels(), strict=True):
            named.setdefault(name, handle)
    chosen = {"loc": "outside upper right", "ncols": len(named), "frameon": False, "fontsize": 7.5, **options}
    figure.legend(list(named.values()), list(named), **chosen)


def robust_limits(values: np.ndarray, share: float = 0.01) -> tuple[float, float]:
    """`max(min, q_s - w/2), min(max, q_(1-s) + w/2)`, `w = q_(1-s) - q_s`: all of (rows,) but what lies far out.

    The `share` s at either end may do so; of a few dozen values it must be larger, to leave any out. Values that are
    not finite are left out.

    >>> robust_limits(np.arange(101.0)), robust_limits(np.append(np.arange(101.0), 1e6))
    ((0.0, 100.0), (0.0, 149.48))
    """
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    first, last = (float(quantile) for quantile in np.quantile(values, [share, 1 - share]))
    if last > first:
        low, high = max(low, first - (last - first) / 2), min(high, last + (last - first) / 2)
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def outside(count: int) -> str:
    """What a picture says of points beyond its edges; nothing where there are none."""
    return f", {count:,} outside the picture" if count else ""


def class_colour(index: int, classes: int) -> Any:
    """A colour for class `index` of `classes`: ten that differ well, else evenly spaced hues."""
    name, place = ("tab10", index / 10 + 0.05) if classes <= 10 else ("turbo", (index + 0.5) / classes)
    return matplotlib.colormaps[name](place)


def to_png(figure: Figure, colours: int = 128) -> bytes:
    """Draw and compress: a palette of `colours` makes a plot four times smaller than true colour."""
    canvas = FigureCanvasAgg(figure)
    with matplotlib.rc_context(_RC):
        canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    return image_to_png(Image.fromarray(pixels), colours)


def image_to_png(image: Image.Image, colours: int | None = None) -> bytes:
    """A PIL image as PNG bytes, on a palette of `colours` when given."""
    if colours is not None and image.mode == "RGB":
        image = image.quantize(colours, dither=Image.Dither.NONE)
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    return out.getvalue()
