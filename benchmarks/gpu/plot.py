"""The picture: rows per second by batch in each precision, the floor dashed beside it, one panel per model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.ticker import EngFormatter

from benchmarks.gpu.floors import Floor
from benchmarks.gpu.plan import Row
from training.plots.figure import ACCENT, add_title, class_colour, new_figure, shared_legend, to_png

_COLOURS = {"float32": ACCENT, "tf32": class_colour(0, 10), "bf16": class_colour(2, 10)}
_STYLES = {"decode": "-", "score": ":"}


def plot(rows: Sequence[Row], device: str) -> bytes | None:
    """A PNG; None where no call was measured."""
    calls = [row for row in rows if row["kind"] == "call" and "seconds" in row and row["operation"] in _STYLES]
    models = list(dict.fromkeys(row["model"] for row in calls))
    if not models:
        return None
    figure, panels = new_figure(5.2 * len(models), 3.9, columns=len(models))
    for ax, model in zip(panels, models, strict=True):
        own = [row for row in calls if row["model"] == model]
        for precision, colour in _COLOURS.items():
            for operation, style in _STYLES.items():
                line = [row for row in own if row["operation"] == operation and row["precision"] == precision]
                if not line:
                    continue
                batches = [row["rows"] for row in line]
                look: Any = {"color": colour, "marker": "o", "markersize": 3.5, "linewidth": 1.6, "linestyle": style}
                ax.plot(
                    batches, [row["rows"] / row["seconds"] for row in line], label=f"{operation}, {precision}", **look
                )
                if operation == "decode":
                    floors = [row["rows"] / Floor.of(row).seconds for row in line]
                    look = {"color": colour, "linestyle": "--", "linewidth": 1.0, "alpha": 0.6}
                    ax.plot(batches, floors, label=f"floor of decode, {precision}", **look)
        ax.set(xscale="log", yscale="log", xlabel="rows of one call")
        ax.minorticks_off()
        batches = sorted({row["rows"] for row in own})
        ax.set_xticks(batches, [f"2^{batch.bit_length() - 1}" for batch in batches])
        ax.yaxis.set_major_formatter(EngFormatter(sep=""))
        ax.grid(axis="y")
        add_title(ax, f"{model}: rows per second")
    shared_legend(figure, loc="outside lower center", ncols=4, title=device, title_fontsize=8)
    return to_png(figure)
