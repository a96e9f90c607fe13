"""The picture: rows per second of every operation by batch, the floor dashed beside it, one panel per model."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.ticker import EngFormatter

from benchmarks.gpu.floors import Floor
from benchmarks.gpu.plan import Row
from training.plots.figure import GREY, add_title, class_colour, new_figure, shared_legend, to_png

_STYLES = {"float32": "-", "tf32": "-.", "bf16": ":"}


def plot(rows: Sequence[Row], device: str) -> bytes | None:
    """A PNG; None where no call was measured."""
    calls = [row for row in rows if row["kind"] == "call" and "seconds" in row]
    models = list(dict.fromkeys(row["model"] for row in calls))
    if not models:
        return None
    operations = list(dict.fromkeys(row["operation"] for row in calls))
    figure, panels = new_figure(5.2 * len(models), 3.9, columns=len(models))
    for ax, model in zip(panels, models, strict=True):
        own = [row for row in calls if row["model"] == model]
        for precision in dict.fromkeys(row["precision"] for row in own):
            for place, operation in enumerate(operations):
                line = [row for row in own if row["operation"] == operation and row["precision"] == precision]
                if not line:
                    continue
                batches = [row["rows"] for row in line]
                measured = [row["rows"] / row["seconds"] for row in line]
                name = operation if precision == "float32" else f"{operation}, {precision}"
                look = {"color": class_colour(place, 10), "linestyle": _STYLES[precision], "linewidth": 1.6}
                ax.plot(batches, measured, marker="o", markersize=3.5, label=name, **look)
            first = [row for row in own if row["operation"] == own[0]["operation"] and row["precision"] == precision]
            floors = [row["rows"] / _floor(row).seconds for row in first]
            name = f"floor, {precision} ({own[0]['operation']})"
            ax.plot([row["rows"] for row in first], floors, color=GREY, linestyle="--", label=name, linewidth=1.2)
        ax.set(xscale="log", yscale="log", xlabel="rows of one call")
        ax.minorticks_off()
        batches = sorted({row["rows"] for row in own})
        ax.set_xticks(batches, [f"2^{batch.bit_length() - 1}" for batch in batches])
        ax.yaxis.set_major_formatter(EngFormatter(sep=""))
        ax.grid(axis="y")
        add_title(ax, f"{model}: rows per second")
    shared_legend(figure, loc="outside lower center", ncols=4, title=device, title_fontsize=8)
    return to_png(figure)


def _floor(row: Row) -> Floor:
    return Floor(row["products"], row["memory"], row["bus_in"], row["bus_out"])
